/**
 * Reads a member's log from its files, with nothing of the product's own code: only the layout.
 *
 *   data/NAME, NAME is the position of its first byte, 20 digits; entries one after the other:
 *   | magic 4 | size 4 | index 8 | term 8 | pos 8 | channel 4 | chainCrc 4 | bodyCrc 4 | bodySize 4 | body |
 *   magic -1: the rest of the file is blank. Zeros: the end of the log.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const HEADER_BYTES = 48
const MAGIC_ENTRY = 1
const MAGIC_BLANK = -1

export interface LogEntry {
  pos: number
  index: number
  term: number
  /** 0 data, 1 no-op, 2 configuration. */
  channel: number
  body: Buffer
}

export interface LogFile {
  name: string
  bytes: Buffer
}

/** The directory of a member's log, somewhere below its store. @throws Error where there is none. */
export function logDirectory(storePath: string): string {
  for (const entry of readdirSync(storePath, { withFileTypes: true, recursive: true })) {
    const directory = join(entry.parentPath, entry.name)
    if (entry.isDirectory() && entry.name.startsWith('dledger-') && existsSync(join(directory, 'data')))
      return directory
  }
  throw new Error(`no log below ${storePath}`)
}

/** The files of `data` or `index`, by name. */
export function readFiles(directory: string, kind: 'data' | 'index'): LogFile[] {
  const folder = join(directory, kind)
  const names = readdirSync(folder).filter((name) => /^\d{20}$/.test(name))
  return names.toSorted().map((name) => ({ name, bytes: readFileSync(join(folder, name)) }))
}

/** Walks the entries of data files and checks that each says where it is. `end` is the position after the last. */
export function readEntries(files: readonly LogFile[]): { entries: LogEntry[]; end: number } {
  const entries: LogEntry[] = []
  let end = Number(files[0]?.name ?? 0)
  for (const { name, bytes } of files) {
    const start = Number(name)
    let at = 0
    while (at + HEADER_BYTES <= bytes.length && bytes.readInt32BE(at) === MAGIC_ENTRY) {
      const size = bytes.readInt32BE(at + 4)
      const index = Number(bytes.readBigInt64BE(at + 8))
      const pos = Number(bytes.readBigInt64BE(at + 24))
      if (pos !== start + at) throw new Error(`the entry at ${start + at} says it is at ${pos}`)
      const expected = (entries.at(-1)?.index ?? index - 1) + 1
      if (index !== expected) throw new Error(`the entry at ${pos} has index ${index}, not ${expected}`)
      const body = bytes.subarray(at + HEADER_BYTES, at + size)
      entries.push({
        pos,
        index,
        term: Number(bytes.readBigInt64BE(at + 16)),
        channel: bytes.readInt32BE(at + 32),
        body,
      })
      at += size
      end = start + at
    }
    if (at + 4 > bytes.length || bytes.readInt32BE(at) !== MAGIC_BLANK) break
  }
  return { entries, end }
}

/** Where two logs differ first, as words, or undefined where one's files are equal to the other's, byte for byte. */
export function firstDifference(left: readonly LogFile[], right: readonly LogFile[]): string | undefined {
  const names = (files: readonly LogFile[]) => files.map(({ name, bytes }) => `${name} (${bytes.length})`).join(', ')
  if (names(left) !== names(right)) return `files ${names(left)} and ${names(right)}`
  for (const [i, file] of left.entries()) {
    const at = differsAt(file.bytes, (right[i] as LogFile).bytes)
    if (at !== undefined) return `${file.name} at byte ${at}`
  }
  return undefined
}

/** The same up to a position that both logs have. */
export function firstDifferenceBefore(
  end: number,
  left: readonly LogFile[],
  right: readonly LogFile[],
): string | undefined {
  for (const file of left) {
    const start = Number(file.name)
    if (start >= end) return undefined
    const other = right.find(({ name }) => name === file.name)
    if (other === undefined) return `only one has ${file.name}`
    const at = differsAt(file.bytes.subarray(0, end - start), other.bytes.subarray(0, end - start))
    if (at !== undefined) return `${file.name} at byte ${at}`
  }
  return undefined
}

function differsAt(left: Buffer, right: Buffer): number | undefined {
  if (left.equals(right)) return undefined
  const shorter = Math.min(left.length, right.length)
  for (let at = 0; at < shorter; at++) if (left[at] !== right[at]) return at
  return shorter
}
