/**
 * Address: where somebody listens, as people write it: `host:port`, or `[host]:port` with an address of IPv6.
 */
import { wrongArgument } from '../../error.ts';

/** Where somebody listens. */
export interface Address {
  host: string;
  port: number;
}

const WRITTEN = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/;
const PORT_MAX = 0xffff;

/** Reads an address; `name` is what it is called in the error. */
export function addressOf(text: unknown, name: string): Address {
  const [, bracketed, plain, digits] = WRITTEN.exec(String(text)) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > PORT_MAX) {
    throw wrongArgument(`${name} is ${String(text)}; give an address, such as 127.0.0.1:7001`);
  }
  return { host, port };
}

/** Whether datagrams to this address reach a group. */
export function isMulticast(host: string): boolean {
  const first = Number(host.split('.')[0]);
  return host.toLowerCase().startsWith('ff') || (first >= 224 && first <= 239);
}
