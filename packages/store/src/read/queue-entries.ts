/** ConsumeQueue entries at hand, from memory or from a file, by their queue offset. */
import type { ConsumeQueue } from '../consume-queue/consume-queue.ts'
import {
  CONSUME_QUEUE_ENTRY_BYTES,
  entryPhysicalOffset,
  entrySize,
  entryTagHash,
  entryTagsCode,
} from '../consume-queue/entry-codec.ts'

export interface QueueEntries {
  readonly from: number
  /** One after the last. */
  readonly to: number
  physicalOffsetAt(queueOffset: number): number
  sizeAt(queueOffset: number): number
  tagsCodeAt(queueOffset: number): number
  /** The 32 bits of `tagsCodeAt` that tags are compared by. */
  tagHashAt(queueOffset: number): number
}

/** Entries that a queue has in memory: to be used within the call, for the queue moves them. */
export class TailEntries implements QueueEntries {
  readonly from: number
  readonly to: number
  readonly #queue: ConsumeQueue

  constructor(queue: ConsumeQueue, from: number, to: number) {
    this.#queue = queue
    this.from = from
    this.to = to
  }

  physicalOffsetAt(queueOffset: number): number {
    return this.#queue.physicalOffsetAt(queueOffset)
  }

  sizeAt(queueOffset: number): number {
    return this.#queue.sizeAt(queueOffset)
  }

  tagsCodeAt(queueOffset: number): number {
    return this.#queue.tagsCodeAt(queueOffset)
  }

  tagHashAt(queueOffset: number): number {
    return this.#queue.tagsCodeAt(queueOffset) | 0
  }
}

/** Entries read from a file. */
export class ReadEntries implements QueueEntries {
  readonly from: number
  readonly to: number
  readonly #bytes: Buffer

  constructor(from: number, bytes: Buffer) {
    this.#bytes = bytes
    this.from = from
    this.to = from + bytes.length / CONSUME_QUEUE_ENTRY_BYTES
  }

  get bytes(): number {
    return this.#bytes.length
  }

  physicalOffsetAt(queueOffset: number): number {
    return entryPhysicalOffset(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }

  sizeAt(queueOffset: number): number {
    return entrySize(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }

  tagsCodeAt(queueOffset: number): number {
    return entryTagsCode(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }

  tagHashAt(queueOffset: number): number {
    return entryTagHash(this.#bytes, (queueOffset - this.from) * CONSUME_QUEUE_ENTRY_BYTES)
  }
}
