/**
 * From which entry on the log must stay, because something that is pending still reads it: messages of the delay levels that are
 * not delivered yet, and whoever else says so.
 *
 * Keeps:
 *   - what is needed is applied, so nothing that is proposed later can need an earlier entry.
 *   - when it cannot be told, everything is needed.
 */
import { SystemTopic } from '@dledger-ts/protocol'
import type { Logger } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { MessageReader } from '../read.ts'

/** Somebody who reads records of what is pending. */
export interface NeedsRecords {
  /** Where the oldest record that is still needed starts, or the log file that holds it; infinite for none. Calls back once, at once or later. */
  oldestNeeded(callback: (error: Error | null, physicalOffset: number) => void): void
}

/** The log's own knowledge of where entries stand. */
export interface EntryFinder {
  /** The entry that the log file of byte `pos` begins with; null when that cannot be told. */
  firstIndexInFileOf(pos: number): number | null
  /** Entries below this are to be forgotten as soon as nothing needs them; 0 for none. */
  readonly forgetBefore: number
}

export interface NeededEntriesOptions {
  readonly log: Pick<EntryFinder, 'firstIndexInFileOf'>
  readonly needs: readonly NeedsRecords[]
  readonly logger: Logger
}

export class NeededEntries {
  readonly #options: NeededEntriesOptions

  constructor(options: NeededEntriesOptions) {
    this.#options = options
  }

  /** Gives the first entry that must stay, as far as whole log files go; infinite when nothing is pending. */
  firstNeeded(callback: (index: number) => void): void {
    const { needs, log, logger } = this.#options
    let underWay = 1
    let oldest = Number.POSITIVE_INFINITY
    const told = (error: Error | null, physicalOffset: number): void => {
      if (error !== null) {
        logger.warn({ err: error }, 'it is not known what is still needed of the log: nothing of it is forgotten')
        oldest = 0
      } else {
        oldest = Math.min(oldest, physicalOffset)
      }
      underWay--
      if (underWay > 0) return
      // What is known of the log's files is enough: it forgets whole files only, and no record stands in two.
      callback(oldest === Number.POSITIVE_INFINITY ? oldest : (log.firstIndexInFileOf(oldest) ?? 0))
    }
    for (const need of needs) {
      underWay++
      need.oldestNeeded(told)
    }
    told(null, Number.POSITIVE_INFINITY)
  }
}

/** Messages of the delay levels that are not delivered yet. */
export class UndeliveredMessages implements NeedsRecords {
  readonly #machine: StoreMachine
  readonly #reader: MessageReader

  constructor(machine: StoreMachine, reader: MessageReader) {
    this.#machine = machine
    this.#reader = reader
  }

  oldestNeeded(callback: (error: Error | null, physicalOffset: number) => void): void {
    let underWay = 1
    let failure: Error | null = null
    let oldest = Number.POSITIVE_INFINITY
    const told = (error: Error | null, physicalOffset: number): void => {
      failure ??= error
      oldest = Math.min(oldest, physicalOffset)
      underWay--
      if (underWay === 0) callback(failure, oldest)
    }
    for (const queue of this.#machine.queues.ofTopic(SystemTopic.SCHEDULE)) {
      underWay++
      this.#oldestOf(queue, told)
    }
    told(null, Number.POSITIVE_INFINITY)
  }

  #oldestOf(queue: ConsumeQueue, told: (error: Error | null, physicalOffset: number) => void): void {
    const next = this.#machine.metadata.delivered.get(queue.queueId + 1) ?? 0
    if (next >= queue.nextOffset) return told(null, Number.POSITIVE_INFINITY)
    this.#reader.entries(queue, next, 1, (error, entries) => {
      told(error, entries?.physicalOffsetAt(next) ?? 0)
    })
  }
}
