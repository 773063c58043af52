/**
 * Commands: orders in words, and in the bytes of the wire.
 */
import type { Side } from '../../book.ts';
import { wrongArgument } from '../../error.ts';
import {
  encodeAs,
  FLAG_POST_ONLY,
  FLAG_STP_BOTH,
  FLAG_STP_DECREMENT,
  FLAG_STP_NEWEST,
  FLAG_STP_OLDEST,
  ORDER_FOK,
  ORDER_GTC,
  ORDER_IOC,
  ORDER_LIMIT,
  ORDER_MARKET,
  SIDE_BOTH,
  SIDE_BUY,
  SIDE_SELL,
} from '../../wire.ts';

/** What happens when an order meets one of its own account. */
export type SelfTrade = 'none' | 'newest' | 'oldest' | 'both' | 'decrement';

/** How an order rests and trades. */
export interface Manner {
  /** Refused rather than traded at once. */
  postOnly?: boolean | undefined;
  /** Meeting an order of its own account: trade with it ('none', the default), cancel one or both, or decrement both. */
  selfTrade?: SelfTrade | undefined;
  /** Above the account's last one; without it the next. */
  clientOrderId?: bigint | undefined;
}

/** A new order. */
export interface NewOrderOptions extends Manner {
  side: Side;
  /** Ticks; without it, a market order. */
  price?: bigint | number | undefined;
  /** Units. */
  quantity: bigint | number;
  /** Until it is cancelled (gtc, the default of a priced order), at once or not (ioc), wholly at once or not at all (fok). */
  lasting?: 'gtc' | 'ioc' | 'fok' | undefined;
}

/** What a live order is to be. */
export interface ReplaceOptions extends Manner {
  /** Ticks. */
  price: bigint | number;
  /** The new total, what was executed included. */
  quantity: bigint | number;
}

/** Which orders to take away. */
export interface MassCancelOptions {
  /** One side only. */
  side?: Side | undefined;
  /** Above the account's last one; without it the next. */
  clientOrderId?: bigint | undefined;
}

const SIDES = { buy: SIDE_BUY, sell: SIDE_SELL, both: SIDE_BOTH } as const;
const LASTING = { gtc: ORDER_GTC, ioc: ORDER_IOC, fok: ORDER_FOK } as const;
const SELF_TRADE = {
  none: 0,
  newest: FLAG_STP_NEWEST,
  oldest: FLAG_STP_OLDEST,
  both: FLAG_STP_BOTH,
  decrement: FLAG_STP_DECREMENT,
} as const;

function chosen<T extends object>(choices: T, value: unknown, name: string): T[keyof T] {
  if (typeof value === 'string' && Object.hasOwn(choices, value)) return choices[value as keyof T];
  throw wrongArgument(`${name} is ${String(value)}; give ${Object.keys(choices).join(', ')}`);
}

function flagsOf({ postOnly = false, selfTrade = 'none' }: Manner): number {
  return (postOnly ? FLAG_POST_ONLY : 0) | chosen(SELF_TRADE, selfTrade, 'selfTrade');
}

/** A number that must not be left out: it would be taken for zero, which says something else. */
function given(value: bigint | number | undefined, name: string): bigint | number {
  if (value !== undefined) return value;
  throw wrongArgument(`${name} is left out; give a whole number`);
}

/** The bytes of a new order. */
export function encodeNewOrder(account: number, clientOrderId: bigint, options: NewOrderOptions): Uint8Array {
  const { side, price } = options;
  const quantity = given(options.quantity, 'quantity');
  const isMarket = price === undefined;
  if (side !== 'buy' && side !== 'sell') throw wrongArgument(`side is ${String(side)}; give buy or sell`);
  const lasting = chosen(LASTING, options.lasting ?? 'gtc', 'lasting');
  const orderType = (isMarket ? ORDER_MARKET : ORDER_LIMIT) | lasting;
  const order = { account, clientOrderId, side: SIDES[side], orderType, flags: flagsOf(options) };
  return encodeAs('NewOrder', { ...order, price: isMarket ? 0n : price, quantity });
}

/** The bytes of a cancel. */
export function encodeCancel(account: number, clientOrderId: bigint): Uint8Array {
  return encodeAs('CancelOrder', { account, clientOrderId });
}

/** The bytes of a replace. */
export function encodeReplace(
  account: number,
  clientOrderId: bigint,
  newClientOrderId: bigint,
  options: ReplaceOptions,
): Uint8Array {
  const price = given(options.price, 'price');
  const quantity = given(options.quantity, 'quantity');
  return encodeAs('Replace', { account, clientOrderId, newClientOrderId, price, quantity, flags: flagsOf(options) });
}

/** The bytes of a mass cancel. */
export function encodeMassCancel(account: number, clientOrderId: bigint, { side }: MassCancelOptions): Uint8Array {
  return encodeAs('MassCancel', { account, clientOrderId, side: chosen(SIDES, side ?? 'both', 'side') });
}
