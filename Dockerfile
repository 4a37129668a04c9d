# The image of `cargo xtask image`, for those who build with Docker (BuildKit): docker build --tag penstock:0.1.0 .
# Both lay out the same files by the same code, so there is nothing here that could differ.

# Another place or a digest to pin to: --build-arg RUST_IMAGE=registry.example.com/rust@sha256:…
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE ./
COPY .cargo .cargo
COPY operator operator
COPY stages stages
COPY tests tests
COPY xtask xtask
# Packages and what was built of them stay between builds, on the machine that builds.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo xtask image -- --root /image

FROM scratch
COPY --from=build /image/ /
ENV PATH=/usr/bin
USER 65532:65532
WORKDIR /
LABEL org.opencontainers.image.title="penstock" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/penstock"]
