/**
 * Desk: an array that both sides of a call see, on which the numbers of the hot path cross.
 *
 * Each argument of a native call costs as much as the whole work on it (bindings/native/src/node/desk.rs), and the
 * WebAssembly backend keeps to the same, so that the classes above know one way.
 */

/** Names of the numbers, in order; a library with others is refused. */
export const DESK_FIELDS = ['handle', 'number', 'type', 'count', 'at', 'answer', 'bytes', 'spare'];
/** Longest payload that may lie on the desk. */
export const STAGE_BYTES = 1024;
const STAGE_OFFSET = 64;

/** The array itself. */
export const desk = new Uint8Array(STAGE_OFFSET + STAGE_BYTES);

/** The desk's doubles. */
export const numbers = new Float64Array(desk.buffer, 0, 2);
/** Whom a call is for. */
export const HANDLE = 0;
/** What a call answers that may be large: a sequence, a depth, positions that were lost. */
export const NUMBER = 1;

/** The desk's words. */
export const words = new Int32Array(desk.buffer, 16, 5);
/** The user's number for the kind of message. */
export const TYPE = 0;
/** How many messages; negative for all. */
export const COUNT = 1;
/** Where in the buffer the first record goes. */
export const AT = 2;
/** What a call answers: a count, or a code. */
export const ANSWER = 3;
/** Bytes used, or needed. */
export const BYTES = 4;

/** Where the payload of `writeStaged` lies. */
export const stage = desk.subarray(STAGE_OFFSET);
