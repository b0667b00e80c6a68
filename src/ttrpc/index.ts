export { BufferPool } from "./buffer-pool.ts";
export {
  type CallOptions,
  createClient,
  type ServiceClient,
  TtrpcClient,
  type TtrpcClientOptions,
} from "./client.ts";
export { nodeClock, type TtrpcClock } from "./clock.ts";
export {
  type CloseReason,
  FrameConnection,
  type FrameConnectionOptions,
  type FrameHandlers,
} from "./connection.ts";
export type { MethodDefinition, ServiceDefinition, ServiceHandlers, UnaryHandler } from "./definition.ts";
export { DirectReads, SCRATCH_BYTES } from "./direct-reads.ts";
export {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  type Metadata,
  type RequestEnvelope,
  type ResponseEnvelope,
  type WireStatus,
} from "./envelope.ts";
export {
  decodeHeader,
  encodeFrame,
  encodeHeader,
  type Frame,
  FrameFlag,
  type FrameHeader,
  FrameType,
  HEADER_BYTES,
  MAX_DATA_BYTES,
} from "./frame.ts";
export { FrameDecoder } from "./frame-decoder.ts";
export type { OutgoingFrame } from "./frame-writer.ts";
export { type RawMethod, TtrpcServer, type TtrpcServerOptions } from "./server.ts";
export type { CallContext, ConnectionInfo } from "./server-call.ts";
export type { EndedCall } from "./server-connection.ts";
export { statusOf, TtrpcCode, TtrpcError } from "./status.ts";
export { StreamIds } from "./stream-ids.ts";
