/**
 * Makes the files of a killed member look as if its machine had lost power at that moment: of what no sync covered, any sectors and
 * the newest names may be gone.
 *
 * Sectors of a file are decided one by one, so later writes may survive where earlier ones are lost. Names of a directory are lost
 * from the newest back, as file systems with a journal do.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Random } from '@dledger-ts/base'
import { type Change, type PendingChange, readJournal } from './shadow-journal.ts'

const SECTOR_BYTES = 512

export interface PowerLoss {
  /** Changes that no sync covered. */
  readonly unsynced: number
  readonly sectorsUndone: number
  readonly namesUndone: number
}

/** @param directory the member's; @param shadow where its shadow disk kept the journal. Both are as after the cut when it returns. */
export function losePower(directory: string, shadow: string, random: Random): PowerLoss {
  const { pending } = readJournal(shadow)
  const sectorsUndone = undoFiles(pathsByInode([directory, shadow]), pending, random)
  const namesUndone = undoNames(pending, random)
  rmSync(shadow, { recursive: true, force: true })
  return { unsynced: pending.length, sectorsUndone, namesUndone }
}

type FileChange = PendingChange & { readonly change: Extract<Change, { file: number }> }

function undoFiles(paths: ReadonlyMap<number, string>, pending: readonly PendingChange[], random: Random): number {
  const files = new Map<number, FileChange[]>()
  for (const one of pending) {
    if (!isOfFile(one)) continue
    const changes = files.get(one.change.file)
    if (changes === undefined) files.set(one.change.file, [one])
    else changes.push(one)
  }
  let undone = 0
  for (const [inode, changes] of files) {
    const path = paths.get(inode)
    // A file that a killed process was about to write has a name; one that has none is nobody's any more.
    if (path !== undefined) undone += undoFile(path, changes, random)
  }
  return undone
}

function isOfFile(one: PendingChange): one is FileChange {
  return 'file' in one.change
}

/** Often all is lost or nothing is; else it is drawn sector by sector. */
function undoFile(path: string, changes: readonly FileChange[], random: Random): number {
  const mood = random.below(4)
  if (mood === 0) return 0
  const touched = new Map<number, number>()
  for (const { change } of changes) {
    for (const sector of sectorsOf(change)) touched.set(sector, (touched.get(sector) ?? 0) + 1)
  }
  const left = new Map<number, number>()
  for (const [sector, count] of touched) left.set(sector, mood === 1 ? count : random.below(count + 1))
  const fd = openSync(path, 'r+')
  try {
    const sizeThen = statSync(path).size
    let undone = 0
    for (const { change, payload } of changes.toReversed()) {
      const from = change.kind === 'write' ? change.at : change.size
      for (const sector of sectorsOf(change)) {
        const times = left.get(sector) ?? 0
        if (times === 0) continue
        left.set(sector, times - 1)
        undone++
        const start = Math.max(from, sector * SECTOR_BYTES)
        const end = Math.min(from + lengthOf(change), (sector + 1) * SECTOR_BYTES)
        // Where the file did not reach, there were zeros.
        const before = Buffer.alloc(end - start)
        if (start - from < payload.length) payload.copy(before, 0, start - from, Math.min(payload.length, end - from))
        writeSync(fd, before, 0, before.length, start)
      }
    }
    // The size is lost or kept as a whole; what was kept beyond a lost size is lost with it.
    const [oldest] = changes as [FileChange, ...FileChange[]]
    ftruncateSync(fd, random.below(2) === 0 ? sizeThen : oldest.change.sizeBefore)
    return undone
  } finally {
    closeSync(fd)
  }
}

function lengthOf(change: Extract<Change, { file: number }>): number {
  return change.kind === 'write' ? change.size : Math.max(0, change.sizeBefore - change.size)
}

function sectorsOf(change: Extract<Change, { file: number }>): number[] {
  const from = change.kind === 'write' ? change.at : change.size
  const length = lengthOf(change)
  if (length === 0) return []
  const first = Math.floor(from / SECTOR_BYTES)
  const last = Math.floor((from + length - 1) / SECTOR_BYTES)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

function undoNames(pending: readonly PendingChange[], random: Random): number {
  const directories = new Map<string, Exclude<Change, { file: number }>[]>()
  for (const { change } of pending) {
    if ('file' in change) continue
    const changes = directories.get(change.directory)
    if (changes === undefined) directories.set(change.directory, [change])
    else changes.push(change)
  }
  let undone = 0
  for (const changes of directories.values()) {
    const keep = random.below(changes.length + 1)
    for (const change of changes.slice(keep).toReversed()) undoName(change)
    undone += changes.length - keep
  }
  return undone
}

/** A change that was noted and not made any more has nothing to undo. */
function undoName(change: Exclude<Change, { file: number }>): void {
  const { path } = change
  if (change.kind === 'create') {
    if (existsSync(path)) unlinkSync(path)
  } else if (change.kind === 'remove') {
    if (!existsSync(path)) linkSync(change.kept, path)
  } else if (!existsSync(change.from)) {
    renameSync(path, change.from)
    if (change.kept !== null) linkSync(change.kept, path)
  }
}

function pathsByInode(directories: readonly string[]): Map<number, string> {
  const found = new Map<number, string>()
  for (const directory of directories) {
    if (!existsSync(directory)) continue
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile()) found.set(statSync(path).ino, path)
    }
  }
  return found
}
