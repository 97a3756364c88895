/**
 * After a start: looks whether each queue's newest file is there, has its size, and ends with the entry that the checkpoint names.
 * In the background: a read finds out by itself what it needs to know.
 */
import type { Clock } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { QueueFiles } from '../consume-queue/queue-files.ts'
import { inLanes } from '../lanes.ts'
import type { QueueRepairs } from './queue-repairs.ts'

/** Queues looked at before others have their turn. */
const CHECKED_AT_ONCE = 16
/** Looks under way: the threads for file operations are few, and readers need them. */
const LOOKS_MAX = 2

interface Check {
  readonly queue: ConsumeQueue
  readonly offset: number
  readonly physicalOffset: number
}

export class QueueChecks {
  readonly #files: QueueFiles
  readonly #repairs: QueueRepairs
  readonly #clock: Clock
  #checks: Check[] = []
  #stopped = false

  constructor(options: { readonly files: QueueFiles; readonly repairs: QueueRepairs; readonly clock: Clock }) {
    this.#files = options.files
    this.#repairs = options.repairs
    this.#clock = options.clock
  }

  /** Notes what files must hold by the checkpoint that was taken up, before anything is written to them. */
  note(machine: StoreMachine): void {
    for (const queue of machine.queues.all()) {
      if (queue.nextOffset === queue.minOffset) continue
      this.#checks.push({ queue, offset: queue.nextOffset - 1, physicalOffset: queue.keptLastPhysicalOffset })
    }
  }

  start(): void {
    if (this.#stopped || this.#checks.length === 0) return
    const checks = this.#checks.splice(-CHECKED_AT_ONCE)
    const check = (i: number, done: (error: null) => void): void => this.#check(checks[i] as Check, done)
    inLanes({ count: checks.length, lanes: LOOKS_MAX, begin: check }, () => this.#clock.defer(() => this.start()))
  }

  stop(): void {
    this.#stopped = true
    this.#checks = []
  }

  #check({ queue, offset, physicalOffset }: Check, done: (error: null) => void): void {
    if (queue.isBroken) return done(null)
    this.#files.entryAt(queue, offset, (entry) => {
      // After a stop files are closed, and cannot be looked at.
      const isGood = this.#stopped || (entry?.physicalOffset === physicalOffset && entry.size > 0)
      const what =
        entry === undefined
          ? `the file of entry ${offset} is missing, short or of another size`
          : `entry ${offset} is not the one at ${physicalOffset} that the checkpoint names`
      if (!isGood) this.#repairs.damaged(queue, what)
      done(null)
    })
  }
}
