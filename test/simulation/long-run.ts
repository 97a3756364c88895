/**
 * What a long run leaves when it is stopped: a line of its totals every minute, and at its end, however it ends, what it has done so far
 * and, where that was asked for, a line of it in a file.
 */
import { appendFileSync } from 'node:fs'
import { constants } from 'node:os'
import type { Totals } from './explore.ts'
import type { Profile } from './schedule.ts'

const PROGRESS_MS = 60_000
const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export interface Ran {
  readonly from: number
  readonly to: number
  readonly profile: Profile
  /** Of the chunks of seeds that are done. */
  readonly totals: Totals
  readonly violatingSeeds: readonly number[]
}

export class LongRun {
  readonly #beganMs = performance.now()
  readonly #stop = new AbortController()
  readonly #timer: NodeJS.Timeout
  /** The exit status that a signal asked for; null: the run was not stopped. */
  stoppedBy: number | null = null

  /** `ranSoFar` is asked for each line, which goes to stderr. */
  constructor(ranSoFar: () => Ran) {
    this.#timer = setInterval(() => console.error(`${this.#seconds} s: ${summaryOf(ranSoFar())}`), PROGRESS_MS)
    for (const name of SIGNALS) {
      // Once: whoever asks again means it.
      process.once(name, () => {
        this.stoppedBy = 128 + constants.signals[name]
        this.#stop.abort()
      })
    }
  }

  /** Aborted by the first SIGINT or SIGTERM. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** No more lines; where a file is given, one is added to it. @throws when it cannot be written. */
  end(ran: Ran, file?: string): void {
    clearInterval(this.#timer)
    if (file !== undefined) appendFileSync(file, `${JSON.stringify(this.#recordOf(ran))}\n`)
  }

  #recordOf({ from, to, profile, totals, violatingSeeds }: Ran): object {
    return {
      endedAt: new Date().toISOString(),
      seconds: this.#seconds,
      profile,
      seeds: `${from}..${to}`,
      stopped: this.stoppedBy !== null,
      ...totals,
      violations: violatingSeeds.length,
      violatingSeeds,
    }
  }

  get #seconds(): number {
    return Math.round((performance.now() - this.#beganMs) / 1000)
  }
}

function summaryOf({ totals: { schedules, events, faults }, violatingSeeds }: Ran): string {
  return `${schedules} schedules, ${events} events, ${faults} faults, ${violatingSeeds.length} violations`
}
