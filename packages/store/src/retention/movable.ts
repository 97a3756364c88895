/** What is pending and can be moved: timers, half messages, messages of the delay levels. */
import { SystemTopic } from '@dledger-ts/protocol'
import type { Clock } from '@dledger-ts/base'
import type { StoreMachine } from '../apply.ts'
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import type { HalfMessageRow } from '../metadata/half-messages.ts'
import { halfMessageKey } from '../metadata/half-messages.ts'
import { timerKey, type TimerRow } from '../metadata/timers.ts'
import type { MessageReader } from '../read.ts'
import type { DelayDelivery } from '../timer/delay-delivery.ts'
import type { TimerDelivery } from '../timer/timer-delivery.ts'
import { movedTimer } from '../timer/timer-message.ts'
import { movedHalfMessage } from '../transaction/half-message.ts'
import { type LogRange, type MovableRows, type MoveSession, type PendingRecords, SOON_MS } from './row-moves.ts'

/** Entries of a level that are read at once. */
const ENTRIES_COUNT = 1_024

export function movableTimers(machine: StoreMachine, delivery: TimerDelivery, clock: Clock): MovableRows<TimerRow> {
  const { timers } = machine.metadata
  const keyOf = (row: TimerRow): string => timerKey(row.outMs, row.physicalOffset)
  return {
    page: (range, callback) => timers.page(range, callback),
    keyOf,
    placeOf: (row) => row,
    mayMove: (row) => row.outMs > clock.nowMs() + SOON_MS,
    claim(row) {
      if (timers.claims.has(keyOf(row))) return false
      timers.claims.add(keyOf(row))
      return true
    },
    release(row) {
      timers.release(row)
      delivery.wake()
    },
    draft: movedTimer,
  }
}

export function movableHalfMessages(machine: StoreMachine): MovableRows<HalfMessageRow> {
  const { halfMessages } = machine.metadata
  const keyOf = (row: HalfMessageRow): string => halfMessageKey(row.physicalOffset)
  return {
    page: (range, callback) => halfMessages.page(range, callback),
    keyOf,
    placeOf: ({ recordOffset, bytes }) => ({ physicalOffset: recordOffset, bytes }),
    mayMove: () => true,
    claim(row) {
      if (halfMessages.claims.has(keyOf(row))) return false
      halfMessages.claims.claim(keyOf(row))
      return true
    },
    release: (row) => halfMessages.claims.release(keyOf(row)),
    draft: movedHalfMessage,
  }
}

/** Messages of the delay levels, which wait on as timers. */
export class LevelMoves implements PendingRecords {
  readonly #machine: StoreMachine
  readonly #reader: MessageReader
  readonly #delays: DelayDelivery

  constructor(machine: StoreMachine, reader: MessageReader, delays: DelayDelivery) {
    this.#machine = machine
    this.#reader = reader
    this.#delays = delays
  }

  async bytesIn(range: LogRange, bytesMax: number, session: MoveSession): Promise<number> {
    let bytes = 0
    for (const queue of this.#machine.queues.ofTopic(SystemTopic.SCHEDULE)) {
      let next = this.#machine.metadata.delivered.get(queue.queueId + 1) ?? 0
      while (next < queue.nextOffset && bytes <= bytesMax && session.isCurrent) {
        const counted = await this.#count(queue, next, range)
        bytes += counted.bytes
        if (counted.isEnd) break
        next = counted.next
      }
    }
    return bytes
  }

  move(range: LogRange): Promise<void> {
    return this.#delays.moveBefore(range.end)
  }

  /** Bytes of records in the range, of entries from `from` on, which are in the order of the log. */
  #count(queue: ConsumeQueue, from: number, { end }: LogRange): Promise<Counted> {
    return new Promise((resolve, reject) => {
      this.#reader.entries(queue, from, ENTRIES_COUNT, (error, entries) => {
        if (error !== null || entries === null) return reject(error)
        let bytes = 0
        for (let offset = from; offset < entries.to; offset++) {
          if (entries.physicalOffsetAt(offset) >= end) return resolve({ bytes, next: offset, isEnd: true })
          bytes += entries.sizeAt(offset)
        }
        resolve({ bytes, next: entries.to, isEnd: false })
      })
    })
  }
}

interface Counted {
  readonly bytes: number
  readonly next: number
  readonly isEnd: boolean
}
