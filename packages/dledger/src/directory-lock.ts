/**
 * One owner for a directory: an exclusively made file `lock` that names the process.
 *
 * Keeps:
 *   K1  of processes that see each other, at most one holds the lock of a directory.
 *   K2  a lock of a process that is gone is taken over; a second file, made exclusively, keeps two takers apart. Its name says which
 *       lock it is about, and which takers died over it: so no taker ever removes the file of another one that lives, however long ago
 *       it looked.
 */
import { assert, crc32 } from '@dledger-ts/base'
import { type Disk, isMissing } from './disk/disk.ts'
import { DLedgerError } from './errors.ts'

/** A process, told apart from a later one with the same pid by its start time and the boot of the machine. */
export interface LockOwner {
  readonly pid: number
  readonly processStart: string
  readonly bootId: string
  /** Whether the process that wrote a lock file still lives. */
  isAlive(pid: number, processStart: string, bootId: string): boolean
}

interface LockContent {
  readonly pid: number
  readonly processStart: string
  readonly bootId: string
}

export interface DirectoryLock {
  /** Gives the directory free. Idempotent. */
  release(): void
}

const TAKEOVER_TRIES_MAX = 3
/** Takers of one lock that died over it; beyond that their files are removed. */
const DEAD_TAKERS_MAX = 64

/** @throws DLedgerError `INVALID` naming directory and process when another process has it. */
export function lockDirectory(disk: Disk, directory: string, owner: LockOwner): DirectoryLock {
  const path = `${directory}/lock`
  const { pid, processStart, bootId } = owner
  const content = `${JSON.stringify({ pid, processStart, bootId })}\n`
  for (let tries = 0; tries < TAKEOVER_TRIES_MAX; tries++) {
    const present = disk.createExclusiveSync(path, content)
    if (present === null) return heldLock(disk, path)
    refuseIfAlive(present, directory, owner)
    if (takeOver(disk, { path, stale: present, content, directory, owner })) return heldLock(disk, path)
  }
  throw inUse(directory, 'another process, which is starting too')
}

function heldLock(disk: Disk, path: string): DirectoryLock {
  let released = false
  return {
    release: () => {
      if (released) return
      released = true
      // Whoever removed the directory has given it free.
      removeIfThere(disk, path)
    },
  }
}

interface StaleLock {
  readonly path: string
  readonly stale: string
  readonly content: string
  readonly directory: string
  readonly owner: LockOwner
}

/** Only the maker of the second file replaces a stale lock, and only while it is still the one that was judged. */
function takeOver(disk: Disk, lock: StaleLock): boolean {
  const rights = takeoverRight(disk, lock)
  if (rights === null) return false
  try {
    const present = disk.createExclusiveSync(lock.path, lock.content)
    if (present === null) return true // Its holder's successor came and went.
    if (present !== lock.stale) return false
    disk.removeSync(lock.path)
    return disk.createExclusiveSync(lock.path, lock.content) === null
  } finally {
    // The lock is another one now: whoever makes these files again finds that out. The own one goes last.
    for (const path of rights) removeIfThere(disk, path)
  }
}

/**
 * Makes the file whose maker alone may remove this stale lock. Of a maker that died over it nothing is removed; the right goes to
 * whoever makes the next file, whose name follows from what the dead one wrote.
 *
 * @returns the files, those of dead makers first; null when too many died. @throws DLedgerError when the one who has it lives.
 */
function takeoverRight(disk: Disk, { path, stale, content, directory, owner }: StaleLock): readonly string[] | null {
  const rights: string[] = []
  for (let about = stale; rights.length < DEAD_TAKERS_MAX;) {
    const right = `${path}.takeover.${crc32(Buffer.from(about)).toString(16)}`
    rights.push(right)
    const other = disk.createExclusiveSync(right, content)
    if (other === null) return rights
    refuseIfAlive(other, directory, owner)
    about += other
  }
  for (const right of rights) removeIfThere(disk, right)
  return null
}

function removeIfThere(disk: Disk, path: string): void {
  try {
    disk.removeSync(path)
  } catch (error) {
    if (!(error instanceof Error && isMissing(error))) throw error
  }
}

function refuseIfAlive(present: string, directory: string, owner: LockOwner): void {
  const holder = decode(present)
  if (holder === null) return // Not written by us, or cut off by a power failure: nobody lives behind it.
  if (!owner.isAlive(holder.pid, holder.processStart, holder.bootId)) return
  throw inUse(directory, `process ${holder.pid}`)
}

function inUse(directory: string, who: string): DLedgerError {
  return new DLedgerError(`${directory}: is in use by ${who}`, { code: 'INVALID', what: 'directory' })
}

function decode(text: string): LockContent | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    assert(error instanceof SyntaxError, 'only syntax errors come from parsing')
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { pid, processStart, bootId } = value as Record<keyof LockContent, unknown>
  if (typeof pid !== 'number' || typeof processStart !== 'string' || typeof bootId !== 'string') return null
  return { pid, processStart, bootId }
}
