/**
 * Adding the log's messages to one index file, from a place of the log on: to the newest file for as long as there is room, to a
 * damaged one until it covers what it covered.
 */
import { crc32 } from '@dledger-ts/base'
import type { DiskFile } from '@dledger-ts/dledger'
import { recordStoreTimestamp } from '@dledger-ts/protocol'
import { ENTRY_HEADER_BYTES } from '../log-place.ts'
import type { IndexBuilder, WrittenState } from './builder.ts'
import type { IndexFile, IndexPlace } from './index-file.ts'
import { encodeIndexHeader, entryAt } from './layout.ts'
import type { LogCursor, RecordVisitor } from './log-walk.ts'
import { MessageKeys } from './message-keys.ts'

/** What one write leaves in the file. */
interface Write {
  readonly file: DiskFile
  /** Entries before it are written. */
  readonly to: number
  readonly state: WrittenState
  readonly slots: 'none' | 'dirty' | 'all'
}

export type WriteCallback = (error: Error | null, slotsCrc: number) => void

export class IndexBuild implements RecordVisitor, LogCursor {
  readonly file: IndexFile
  readonly builder: IndexBuilder
  /** Where it goes on. */
  index: number
  pos: number
  /** This many keys of the message at `pos` are in it, or in the file before. */
  key: number
  /** The first key that does not belong into the file; null for the newest file, which takes what it has room for. */
  readonly #limit: IndexPlace | null
  #isAtLimit = false
  readonly #keys = new MessageKeys()

  constructor(file: IndexFile, builder: IndexBuilder, from: IndexPlace, limit: IndexPlace | null) {
    this.file = file
    this.builder = builder
    this.index = from.index
    this.pos = from.pos
    this.key = from.key
    this.#limit = limit
  }

  /** It covers what it is to cover. */
  get isDone(): boolean {
    if (this.builder.isFull) return true
    const limit = this.#limit
    return this.#isAtLimit || (limit !== null && this.index >= limit.index + (limit.key === 0 ? 0 : 1))
  }

  /** The log has nothing more before this entry. */
  skipTo(index: number): void {
    if (index <= this.index) return
    this.index = index
    this.key = 0
  }

  // Hot.
  visit(bytes: Buffer, at: number, physicalOffset: number): boolean {
    const limit = this.#limit
    const pos = physicalOffset - ENTRY_HEADER_BYTES
    let count = this.#keys.examine(bytes, at)
    if (limit !== null && pos >= limit.pos) {
      if (pos > limit.pos || limit.key === 0) {
        this.#isAtLimit = true
        return false
      }
      count = Math.min(count, limit.key)
    }
    if (count > this.key) {
      const { hashes } = this.#keys
      const storeTimestamp = recordStoreTimestamp(bytes, at)
      for (; this.key < count; this.key++) {
        if (this.builder.isFull) return false
        this.builder.add(hashes[this.key] as number, physicalOffset, storeTimestamp)
      }
    }
    if (limit !== null && pos === limit.pos) {
      this.#isAtLimit = true
      return false
    }
    this.key = 0
    return true
  }

  /**
   * Where the index goes on once the entries before `to` are written, all of messages up to entry `durable.index`: behind that
   * entry, or where this build is if that comes first.
   */
  placeAfter(to: number, durable: { readonly index: number; readonly end: number }): IndexPlace {
    const { index, pos, key } = this
    if (index <= durable.index + 1 && to === this.builder.count) return { index, pos, key }
    if (durable.index < this.file.end.index) return this.file.end
    return { index: durable.index + 1, pos: durable.end, key: 0 }
  }

  /**
   * Writes the entries before `to`, the header and slots, and syncs the file. `all` slots are written in order, and their checksum is
   * given back.
   */
  write(to: number, slots: Write['slots'], callback: WriteCallback): void {
    const { builder, file } = this
    const from = builder.written.header.entryCount
    const state = builder.stateBefore(to)
    let used: DiskFile
    try {
      if (from === 1) file.createSync()
      used = file.use()
    } catch (error) {
      callback(error as Error, 0)
      return
    }
    const write: Write = { file: used, to, state, slots }
    const done = (error: Error | null, slotsCrc: number): void => {
      file.release()
      if (error === null) builder.wrote(state)
      callback(error, slotsCrc)
    }
    const entries = builder.entriesBefore(to)
    if (entries.length === 0) return this.#writeHeader(write, done)
    used.write(entries, entryAt(file.shape, from), (error) => {
      if (error !== null) done(error, 0)
      else this.#writeHeader(write, done)
    })
  }

  #writeHeader(write: Write, done: WriteCallback): void {
    write.file.write([encodeIndexHeader(write.state.header)], 0, (error) => {
      if (error !== null) done(error, 0)
      else this.#writeSlots(write, 0, 0, done)
    })
  }

  #writeSlots(write: Write, fromSlot: number, crc: number, done: WriteCallback): void {
    const run =
      write.slots === 'none'
        ? null
        : write.slots === 'dirty'
          ? this.builder.nextDirtyRun(fromSlot, write.to)
          : this.builder.nextRun(fromSlot, write.to)
    if (run === null) {
      write.file.sync((error) => done(error, crc))
      return
    }
    const runCrc = crc32(run.bytes, 0, run.bytes.length, crc)
    write.file.write([run.bytes], run.at, (error) => {
      if (error !== null) done(error, 0)
      else this.#writeSlots(write, run.nextSlot, runCrc, done)
    })
  }
}
