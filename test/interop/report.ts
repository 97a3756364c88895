/** Prints what passed and what failed, suite by suite, and counts it. */
import { type Verdict } from '../processes/group/delivery-ledger.ts'

export class Report {
  readonly #print: (text: string) => void
  #passed = 0
  #failed = 0

  constructor(print: (text: string) => void = (text) => console.log(text)) {
    this.#print = print
  }

  /** Suites side by side, a few at a time: what each says comes as a whole, when it ends. */
  async together(suites: readonly ((report: Report) => Promise<void>)[], atOnce: number): Promise<void> {
    const waiting = [...suites]
    const lane = async (): Promise<void> => {
      for (let suite = waiting.shift(); suite !== undefined; suite = waiting.shift()) {
        const lines: string[] = []
        const own = new Report((text) => void lines.push(text))
        await suite(own)
        for (const line of lines) this.#print(line)
        this.#passed += own.#passed
        this.#failed += own.#failed
      }
    }
    await Promise.all(Array.from({ length: atOnce }, lane))
  }

  get failed(): boolean {
    return this.#failed > 0
  }

  suite(name: string): void {
    this.#print(`\n${name}`)
  }

  /** Something to know that is no check. */
  note(text: string): void {
    this.#print(`  ${text}`)
  }

  skipped(name: string, reason: string): void {
    this.#print(`\n${name}\n  skipped: ${reason}`)
  }

  check(name: string, ok: boolean, detail: string): void {
    if (ok) this.#passed++
    else this.#failed++
    this.#print(`  ${ok ? 'ok    ' : 'FAILED'} ${name}: ${detail}`)
  }

  /** One series of messages: nothing lost, nothing that must not be; `extra` are further reasons to fail. */
  deliveries(name: string, verdict: Verdict, extra: readonly string[] = []): void {
    const { sent, acknowledged, consumed, lost, redelivered, storedTwice, violations } = verdict
    const counts =
      `sent ${sent}, acknowledged ${acknowledged}, consumed ${consumed}, lost ${lost.length}, ` +
      `duplicated ${redelivered + storedTwice}${storedTwice > 0 ? ` (${storedTwice} stored twice)` : ''}`
    const reasons = [...lost.map((key) => `lost ${key}`), ...violations, ...extra]
    const shown = reasons.slice(0, REASON_COUNT_MAX).map((reason) => `\n           ${reason}`)
    if (reasons.length > REASON_COUNT_MAX) shown.push(`\n           and ${reasons.length - REASON_COUNT_MAX} more`)
    this.check(name, reasons.length === 0, counts + shown.join(''))
  }

  /** The last line of the run; returns the exit status. */
  end(): number {
    this.#print(`\n${this.#passed} passed, ${this.#failed} failed`)
    return this.#failed === 0 && this.#passed > 0 ? 0 : 1
  }
}

const REASON_COUNT_MAX = 8
