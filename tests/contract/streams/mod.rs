//! Streams and transports (S1 to S3 of docs/contract.md).

mod backpressure;
mod buffered_streams;
mod closing;
mod custom_streams;
mod delivery;
mod edge_triggered_tcp;
mod expected_errors;
#[cfg(feature = "futures-io")]
mod futures_io;
mod input_after_errors;
mod limits;
mod lingering;
mod read_chunks;
mod underlying_stream;
mod writes_after_end;
