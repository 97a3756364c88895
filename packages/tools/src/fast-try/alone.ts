/**
 * One call at a time starts and stops servers in a directory: of two that look at once, each would find none running, and who is
 * second would write its process ids over those of the servers that run, which nobody would find any more.
 *
 * The file `lock` names the process that is at work. One that ended in the middle is not waited for.
 */
import { linkSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectoriesSync } from '@dledger-ts/base'
import { isAlive } from '../server/pid-files.ts'

const LOOK_EVERY_MS = 20
/** Longer than it takes to stop four servers that hang. */
const WAIT_MS = 60_000

/** Makes the directory where it is missing, and removes it where it is empty at the end. @throws Error that names who is at work. */
export async function alone(
  directory: string,
  work: () => Promise<void>,
  isAtWork: (pid: number) => boolean = isFastTry,
): Promise<void> {
  const lock = join(directory, 'lock')
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    const holder = taken(directory, lock, isAtWork)
    if (holder === null) break
    if (Date.now() > deadline) throw new Error(`process ${holder} is still at work in ${directory}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  try {
    await work()
  } finally {
    rmSync(lock, { force: true })
    removeEmpty(directory)
  }
}

/** @returns null when the lock is ours now, or who has it. */
function taken(directory: string, lock: string, isAtWork: (pid: number) => boolean): number | null {
  const draft = `${lock}.${process.pid}`
  makeDirectoriesSync(directory)
  try {
    // A link makes name and content appear together.
    writeFileSync(draft, String(process.pid))
    linkSync(draft, lock)
    return null
  } catch (error) {
    // ENOENT: whoever was at work has just removed the directory.
    if (!['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    rmSync(draft, { force: true })
  }
  const holder = holderOf(lock)
  if (holder !== null && !isAtWork(holder)) takeAway(lock, holder)
  return holder ?? 0
}

function holderOf(lock: string): number | null {
  try {
    return Number(readFileSync(lock, 'utf8'))
  } catch {
    // Given free meanwhile.
    return null
  }
}

/** The id may belong to another program by now, or to this one, where ids begin anew with each container. */
function isFastTry(pid: number): boolean {
  if (pid === process.pid || !isAlive(pid)) return false
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('fast-try')
  } catch {
    return true
  }
}

/** Two may find the same dead holder, and the second one the lock of the first: that is put back. */
function takeAway(lock: string, holder: number): void {
  const away = `${lock}.${process.pid}.away`
  try {
    renameSync(lock, away)
    if (holderOf(away) !== holder) linkSync(away, lock)
  } catch {
    // Another call was first.
  }
  rmSync(away, { force: true })
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // It holds data, or the next call is at work there.
  }
}
