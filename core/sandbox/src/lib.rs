//! Providers as WebAssembly components: each call can do what it was granted, and nothing else.
