//! What the engine makes of `plugin-sdk/wit/provider`.

wasmtime::component::bindgen!({
    path: "../../plugin-sdk/wit/provider",
    world: "provider",
    imports: { default: trappable },
});
