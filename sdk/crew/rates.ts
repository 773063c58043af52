/**
 * Rates: how fast totals grow, for people: each is measured over at least a second, so that numbers can be read.
 */
const SPAN_MS = 1_000;

interface Mark {
  total: number;
  atMs: number;
  perSecond: number;
}

/** Rates by name. */
export class Rates {
  readonly #marks = new Map<string, Mark>();

  /** Growth per second over the last full span; before the first one has passed, since the first question. */
  perSecond(name: string, total: number, nowMs: number): number {
    const mark = this.#marks.get(name);
    if (mark === undefined) {
      this.#marks.set(name, { total, atMs: nowMs, perSecond: Number.NaN });
      return 0;
    }
    const spanMs = nowMs - mark.atMs;
    const perSecond = spanMs > 0 ? ((total - mark.total) * 1000) / spanMs : 0;
    if (spanMs >= SPAN_MS) this.#marks.set(name, { total, atMs: nowMs, perSecond });
    else if (!Number.isNaN(mark.perSecond)) return mark.perSecond;
    return perSecond;
  }
}
