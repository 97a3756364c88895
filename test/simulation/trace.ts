/**
 * What happened, in order: always as a hash, which two runs of one schedule must share, and as text when somebody looks.
 */
export class Trace {
  readonly lines: string[] = []
  readonly #keep: boolean
  readonly #codes = new Map<string, number>()
  #hash = 0x811c9dc5

  constructor(options: { readonly keepText: boolean }) {
    this.#keep = options.keepText
  }

  get hash(): number {
    return this.#hash >>> 0
  }

  get keepsText(): boolean {
    return this.#keep
  }

  /** Hot: every event and every message. */
  note(what: string, a: number, b: number, c: number): void {
    let code = this.#codes.get(what)
    if (code === undefined) {
      code = this.#codes.size + 1
      this.#codes.set(what, code)
    }
    let h = Math.imul(this.#hash ^ code, 0x01000193)
    h = Math.imul(h ^ a, 0x01000193)
    h = Math.imul(h ^ b, 0x85ebca6b)
    this.#hash = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2ae35)
  }

  /** A line for people; costs nothing unless text is kept. */
  say(atUs: number, who: string, what: string): void {
    if (this.#keep) this.lines.push(`${(atUs / 1000).toFixed(3).padStart(10)} ms  ${who.padEnd(4)} ${what}`)
  }
}
