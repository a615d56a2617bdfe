//! SIMD kernels for WebSocket: masking, UTF-8 validation, and both in one pass.
