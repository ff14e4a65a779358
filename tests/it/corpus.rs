//! Real files of other people's, which are not copied into the repository: each imports, or is refused for a reason that
//! is right.

#[test]
fn placeholder() {}
