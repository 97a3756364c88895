/**
 * Builds batches and logs on a disk in memory, for tests.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { nodeDisk } from '../disk/node-disk.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from './entry-batch.ts'
import { sealEntries } from './entry-codec.ts'
import { placeEntry } from './layout.ts'
import { SegmentedLog, type SegmentedLogOptions } from './segmented-log.ts'

export interface EntrySpec {
  readonly bodyBytes: number
  readonly channel?: number
}

/** The batch that a leader would make of these entries after `log`. Bodies have no zero byte, as in most messages. */
export function batchAfter(
  log: { lastIndex: number; endPos: number; lastChain: number; fileBytes: number },
  term: number,
  entries: readonly EntrySpec[],
): EntryBatch {
  const sizes = entries.map((entry) => ENTRY_HEADER_BYTES + entry.bodyBytes)
  const positions: number[] = []
  let endPos = log.endPos
  for (const size of sizes) {
    const pos = placeEntry(endPos, size, log.fileBytes)
    positions.push(pos)
    endPos = pos + size
  }
  const bytes = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0))
  const firstIndex = log.lastIndex + 1
  let at = 0
  sizes.forEach((size, i) => {
    for (let b = ENTRY_HEADER_BYTES; b < size; b++) bytes[at + b] = 1 + (((firstIndex + i) * 31 + b * 7 + term) % 255)
    at += size
  })
  const channels = entries.map((entry) => entry.channel ?? EntryChannel.DATA)
  sealEntries({ firstIndex, term, positions, sizes, channels, prevChain: log.lastChain, bytes })
  return { firstIndex, term, count: entries.length, positions, sizes, bytes }
}

/** An empty directory of the real disk. */
export class TempDirectory {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'dledger-log-'))

  remove(): void {
    fs.rmSync(this.path, { recursive: true, force: true })
  }
}

/** Files of 1,024 bytes and indexes of 16 units, so that a few entries go over the end of both. */
export function openLog(directory: string, options: Partial<SegmentedLogOptions> = {}): SegmentedLog {
  return SegmentedLog.open({
    disk: nodeDisk,
    directory,
    fileBytes: 1024,
    indexFileBytes: 32 * 16,
    zeroFillBytes: 0,
    durableHint: null,
    checksummedFrom: 0,
    beforeFirst: null,
    servesDamaged: true,
    logger: silentLogger,
    ...options,
  })
}

export function append(log: SegmentedLog, batch: EntryBatch): Promise<void> {
  return new Promise((resolve, reject) => log.append(batch, (error) => (error === null ? resolve() : reject(error))))
}

export function sync(log: SegmentedLog): Promise<void> {
  return new Promise((resolve, reject) => log.sync((error) => (error === null ? resolve() : reject(error))))
}

export function writeIndex(log: SegmentedLog): Promise<void> {
  return new Promise((resolve, reject) => log.writeIndex((error) => (error === null ? resolve() : reject(error))))
}

export function read(log: SegmentedLog, firstIndex: number, lastIndex: number, bytesMax: number): Promise<EntryBatch> {
  return new Promise((resolve, reject) =>
    log.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
      if (batch === null) reject(error ?? new Error('neither error nor batch'))
      else resolve(batch)
    }),
  )
}

/** What can be told of a log from outside. */
export function stateOf(log: SegmentedLog): object {
  const { firstIndex, lastIndex, lastTerm, prevTerm, endPos, lastChain } = log
  const configurations = [...log.configurationIndexes()]
  return { firstIndex, lastIndex, lastTerm, prevTerm, endPos, lastChain, runs: [...log.termRuns()], configurations }
}

/** A hint that says everything in the log is synced. */
export function hintOf(log: SegmentedLog): { index: number; endPos: number; chain: number; term: number } {
  return { index: log.lastIndex, endPos: log.endPos, chain: log.lastChain, term: log.lastTerm }
}
