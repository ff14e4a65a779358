# Egret in an image of one static binary. docs/docker.md says how to run it, and what was tried.

FROM docker.io/library/rust:1.90-alpine3.22 AS build
WORKDIR /build
# Line tables are for those who profile: the image does without.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo

# Dependencies first, with sources that say nothing: this layer stays until a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY bench/loadgen/Cargo.toml bench/loadgen/
RUN mkdir -p src bench/loadgen/src tests/it \
    && touch src/lib.rs bench/policy.rs tests/it/main.rs \
    && echo 'fn main() {}' | tee src/main.rs > bench/loadgen/src/main.rs \
    && cargo build --release --locked --package egret --bin egret

# The files keep the times of the checkout, which may be older than that build: cargo has to see them as new.
COPY allowlists allowlists
COPY src src
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --package egret --bin egret \
    && cp "${CARGO_TARGET_DIR:-target}/release/egret" /egret

FROM scratch
LABEL org.opencontainers.image.title="egret" \
      org.opencontainers.image.description="An Azure Firewall for laptops and CI" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY LICENSE-MIT LICENSE-APACHE /licenses/
COPY --from=build /egret /egret

# A loopback listener could not be reached from outside the container, so it listens on all of the container's
# addresses and serves whoever reaches them. Who does is for the container's network to say: publish the port on
# 127.0.0.1, or set EGRET_OPEN=false and give credentials.
ENV EGRET_LISTEN=0.0.0.0:3128 EGRET_OPEN=true
# `egret.toml` is read from here, if it is there.
WORKDIR /etc/egret
USER 65532:65532
EXPOSE 3128 9315
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/egret", "ready"]
ENTRYPOINT ["/egret"]
CMD ["serve"]
