import type { CallContext } from "./server-call.ts";

/** Encodes and decodes one message type. The shape of what ts-proto generates. */
export interface MessageCodec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** One method of a service, as in ts-proto's generic definitions. */
export interface MethodDefinition {
  /** The name on the wire. */
  readonly name: string;
  readonly requestType: MessageCodec<unknown>;
  readonly requestStream: boolean;
  readonly responseType: MessageCodec<unknown>;
  readonly responseStream: boolean;
}

/** One service, as in ts-proto's generic definitions (outputServices=generic-definitions). */
export interface ServiceDefinition {
  /** The name on the wire, with its package and without a slash. */
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

/** The message that a method takes. */
export type RequestOf<M extends MethodDefinition> = ReturnType<M["requestType"]["decode"]>;
/** The message that a method answers. */
export type ResponseOf<M extends MethodDefinition> = ReturnType<M["responseType"]["decode"]>;

/** What a server runs for one method. Written as a method type, so that handlers of all messages fit one table. */
export type UnaryHandler<Request, Response> = {
  handle(request: Request, context: CallContext): Promise<Response>;
}["handle"];

/** The handlers of a whole service, by the keys of its definition. */
export type ServiceHandlers<D extends ServiceDefinition> = {
  readonly [K in keyof D["methods"]]: UnaryHandler<RequestOf<D["methods"][K]>, ResponseOf<D["methods"][K]>>;
};
