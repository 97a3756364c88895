/**
 * One queue of one topic: its place counters and its newest entries in memory. The older ones are in files (queue-files.ts).
 *
 *   minOffset        tailFrom     writtenOffset      nextOffset      assignedOffset
 *      | … in files … | … in both … | … in memory only … |  … pending …  |
 *
 * Keeps:
 *   Q1  tailFrom <= writtenOffset <= nextOffset, minOffset <= nextOffset; entries from tailFrom on are in memory.
 *   Q2  Entries are appended in order, at exactly `nextOffset`.
 *   Q3  The memory of a queue is what is not written yet and a short tail.
 *   Q4  `sum` vouches for the newest entries that are written, up to `writtenOffset`.
 */
import { assert } from '@dledger-ts/base'
import {
  CONSUME_QUEUE_ENTRY_BYTES,
  entryPhysicalOffset,
  entrySize,
  entryTagsCode,
  writeConsumeQueueEntry,
} from './entry-codec.ts'
import { RunningSum } from './entry-sums.ts'

/** Written entries that stay in memory, for consumers that are nearly up to date. */
const TAIL_COUNT = 512
const FIRST_CAPACITY = 16

/** What a checkpoint knows of a queue. */
export interface KeptQueue {
  readonly nextOffset: number
  readonly minOffset: number
  readonly firstPhysicalOffset: number
  /** Record start of the entry at `nextOffset - 1`. */
  readonly lastPhysicalOffset: number
  /** Entries before this survive a power cut. */
  readonly syncedOffset: number
  /** The checksum `sum` is that of the entries [sumFrom, nextOffset). */
  readonly sumFrom: number
  readonly sum: number
}

export class ConsumeQueue {
  readonly topic: string
  readonly queueId: number
  #minOffset = 0
  #firstPhysicalOffset = -1
  /** The minimum is not in a checkpoint yet. */
  minIsNew = false
  /** The minimum in the newest checkpoint. */
  keptMinOffset = 0
  /** One after the newest applied entry. */
  nextOffset = 0
  /** Entries before this are in the files. */
  writtenOffset = 0
  /** Entries before this survive a power cut. */
  syncedOffset = 0
  /** Record start of the entry at `writtenOffset - 1` in the newest checkpoint; -1 before there is one. */
  keptLastPhysicalOffset = -1
  /** The queue is in the list of those with unwritten entries. */
  isDirty = false
  /** Its files do not hold what they must: entries are read from memory only, until they are built again. */
  isBroken = false
  readonly sum: RunningSum
  #assignedOffset = 0
  /** The leadership to which `#assignedOffset` belongs. */
  #assignedEpoch = -1
  #tail = Buffer.alloc(0)
  #tailFrom = 0

  constructor(topic: string, queueId: number, sum = new RunningSum(0)) {
    this.topic = topic
    this.queueId = queueId
    this.sum = sum
  }

  /** Takes up a queue whose entries [minOffset, nextOffset) are in files. */
  static restored(topic: string, queueId: number, kept: KeptQueue): ConsumeQueue {
    const sum = RunningSum.restored(kept.sumFrom, kept.nextOffset, kept.sum)
    const queue = new ConsumeQueue(topic, queueId, sum)
    queue.nextOffset = kept.nextOffset
    queue.writtenOffset = kept.nextOffset
    queue.#minOffset = kept.minOffset
    queue.keptMinOffset = kept.minOffset
    queue.#firstPhysicalOffset = kept.firstPhysicalOffset
    queue.syncedOffset = kept.syncedOffset
    queue.keptLastPhysicalOffset = kept.lastPhysicalOffset
    queue.#tailFrom = kept.nextOffset
    return queue
  }

  /** The oldest entry whose record the log still has, as far as is known; `nextOffset` when there is none. */
  get minOffset(): number {
    return this.#minOffset
  }

  /** Record start of the entry at `minOffset`; -1 while there is none. */
  get firstPhysicalOffset(): number {
    return this.#firstPhysicalOffset
  }

  /** The queue came with the state of another member: nothing is known of what the log here has of it. */
  get minIsUnknown(): boolean {
    return this.#firstPhysicalOffset === 0
  }

  /** Entries before `queueOffset` have no record any more. @param firstPhysicalOffset of the entry there; -1 for none. */
  forgetBefore(queueOffset: number, firstPhysicalOffset: number): void {
    assert(queueOffset >= this.#minOffset && queueOffset <= this.nextOffset, 'the minimum of a queue never goes back')
    assert(firstPhysicalOffset >= 0 || queueOffset === this.nextOffset, 'an entry has a place')
    this.#minOffset = queueOffset
    this.#firstPhysicalOffset = firstPhysicalOffset
    this.minIsNew = true
  }

  /** Takes up that everything before `queueOffset` is deleted. */
  beginsNotBefore(queueOffset: number): void {
    assert(queueOffset <= this.nextOffset, 'only messages that were there are deleted')
    if (queueOffset <= this.#minOffset) return
    this.#minOffset = queueOffset
    if (queueOffset === this.nextOffset) this.#firstPhysicalOffset = -1
  }

  /** Begins an empty queue: what was before `queueOffset` is in no log any more. */
  beginAt(queueOffset: number): void {
    assert(
      this.#minOffset === this.nextOffset && queueOffset >= this.nextOffset,
      'an empty queue begins, not before its end',
    )
    this.nextOffset = queueOffset
    this.writtenOffset = queueOffset
    this.sum.restart(queueOffset)
    this.#minOffset = queueOffset
    this.#firstPhysicalOffset = -1
    this.#tail = Buffer.alloc(0)
    this.#tailFrom = queueOffset
    this.minIsNew = true
  }

  /** Entries from here on are in memory. */
  get tailFrom(): number {
    return this.#tailFrom
  }

  /** Leader: the offset of the next message put in leadership `epoch`, counting those under way. Hot. */
  assign(epoch: number): number {
    if (this.#assignedEpoch !== epoch) {
      this.#assignedEpoch = epoch
      this.#assignedOffset = this.nextOffset
    }
    assert(this.#assignedOffset >= this.nextOffset, 'what was given out is not behind what is applied')
    return this.#assignedOffset++
  }

  /** Adds the entry at `nextOffset`. Hot. */
  append(physicalOffset: number, size: number, tagsCode: number): void {
    const at = (this.nextOffset - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
    if (at === this.#tail.length) this.#makeRoom()
    writeConsumeQueueEntry(
      this.#tail,
      (this.nextOffset - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES,
      physicalOffset,
      size,
      tagsCode,
    )
    if (this.nextOffset === this.#minOffset) this.#firstPhysicalOffset = physicalOffset
    this.nextOffset++
  }

  /** Of an entry in memory. */
  physicalOffsetAt(queueOffset: number): number {
    return entryPhysicalOffset(this.#tail, this.#placeOf(queueOffset))
  }

  sizeAt(queueOffset: number): number {
    return entrySize(this.#tail, this.#placeOf(queueOffset))
  }

  tagsCodeAt(queueOffset: number): number {
    return entryTagsCode(this.#tail, this.#placeOf(queueOffset))
  }

  /** @returns one after the last unwritten entry whose record starts before `physicalEnd`. */
  writableBefore(physicalEnd: number): number {
    let low = this.writtenOffset
    let high = this.nextOffset
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (this.physicalOffsetAt(middle) < physicalEnd) low = middle + 1
      else high = middle
    }
    return low
  }

  /** @returns a copy of the entries [from, to), which are in memory. */
  copyEntries(from: number, to: number): Buffer {
    assert(from >= this.#tailFrom && from <= to && to <= this.nextOffset, 'only entries in memory are copied')
    const start = (from - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
    const end = (to - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
    return Buffer.from(this.#tail.subarray(start, end))
  }

  /** Entries before `queueOffset` are in the files now, and summed. */
  written(queueOffset: number): void {
    assert(queueOffset >= this.writtenOffset && queueOffset <= this.nextOffset, 'what is written was applied')
    assert(queueOffset === this.sum.to, 'what is written is summed')
    this.writtenOffset = queueOffset
    // A burst made the buffer large: give it back once its entries are in the files.
    if (this.#tail.length > 4 * TAIL_COUNT * CONSUME_QUEUE_ENTRY_BYTES) this.#resize(this.#keptFrom(), TAIL_COUNT * 2)
  }

  /** Memory of the entries. */
  get tailBytes(): number {
    return this.#tail.length
  }

  /** Gives back the memory of written entries but the newest `count`. */
  shrinkTail(count: number): void {
    const from = Math.max(this.#tailFrom, Math.min(this.writtenOffset, this.nextOffset - count))
    const capacity = this.nextOffset - from
    if (capacity * CONSUME_QUEUE_ENTRY_BYTES < this.#tail.length) this.#resize(from, capacity)
  }

  checkInvariants(): void {
    assert(this.#tailFrom <= this.writtenOffset, 'entries that are not written are in memory')
    assert(this.#minOffset <= this.nextOffset && this.writtenOffset <= this.nextOffset, 'written entries were applied')
    assert(this.sum.from <= this.sum.to && this.sum.to === this.writtenOffset, 'the newest written entries are summed')
    const count = this.nextOffset - this.#tailFrom
    assert(count * CONSUME_QUEUE_ENTRY_BYTES <= this.#tail.length, 'the tail holds its entries')
  }

  #placeOf(queueOffset: number): number {
    assert(queueOffset >= this.#tailFrom && queueOffset < this.nextOffset, 'the entry is in memory')
    return (queueOffset - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
  }

  #keptFrom(): number {
    return Math.max(this.#tailFrom, Math.min(this.writtenOffset, this.nextOffset - TAIL_COUNT))
  }

  #makeRoom(): void {
    const from = this.#keptFrom()
    const count = this.nextOffset - from
    this.#resize(from, Math.max(FIRST_CAPACITY, count * 2))
  }

  #resize(from: number, capacity: number): void {
    const start = (from - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
    const end = (this.nextOffset - this.#tailFrom) * CONSUME_QUEUE_ENTRY_BYTES
    const wanted = Math.max(capacity * CONSUME_QUEUE_ENTRY_BYTES, end - start)
    const tail = Buffer.alloc(wanted)
    this.#tail.copy(tail, 0, start, end)
    this.#tail = tail
    this.#tailFrom = from
  }
}
