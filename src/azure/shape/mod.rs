//! Every shape in which Azure's things are written down, turned into uniform resources, so that there is one reader.

mod resource;

pub use resource::Resource;
