/**
 * Puts a store that is closed out of the way, whole, so that another one can begin in its place.
 *
 *   <commitLogDir>/dledger-<self>           ──►  <commitLogDir>/lost-<index>/dledger-<self>
 *   <dir>/{metadata,consumequeue,index}     ──►  <dir>/lost-<index>/…
 *
 * Keeps: of the log nothing is removed; it goes first. After a crash in between, the next start finds no log and discards what is derived
 * from one; without its state a log that was trimmed would not open.
 */
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectoriesSync } from '@dledger-ts/base'
import { nodeDisk } from '@dledger-ts/dledger'
import { findLogDirectory } from './apache/log-directory.ts'

/** What is derived from the log, and the files that say so. */
const DERIVED = ['metadata', 'consumequeue', 'index', 'checkpoint']
/** Of stores that were put aside at the same entry. */
const NAMES_MAX = 1_000

export interface SetAside {
  readonly dir: string
  readonly commitLogDir: string
  readonly self: string
  /** The last entry that counts. */
  readonly lastIndex: number
}

/** @returns where the log is now; null when there was none. */
export function setAsideDirectories({ dir, commitLogDir, self, lastIndex }: SetAside): string | null {
  const log = findLogDirectory({ disk: nodeDisk, dir, commitLogDir, self })
  if (!existsSync(log)) return null
  const parent = join(log, '..')
  const name = freeName(`lost-${lastIndex}`, [dir, parent])
  moveInto(join(parent, name), log, `dledger-${self}`)
  nodeDisk.syncDirectorySync(join(parent, name))
  nodeDisk.syncDirectorySync(parent)
  for (const part of DERIVED) moveInto(join(dir, name), join(dir, part), part)
  nodeDisk.syncDirectorySync(dir)
  return join(parent, name, `dledger-${self}`)
}

function freeName(wanted: string, parents: readonly string[]): string {
  for (let i = 1; i <= NAMES_MAX; i++) {
    const name = i === 1 ? wanted : `${wanted}-${i}`
    if (!parents.some((parent) => existsSync(join(parent, name)))) return name
  }
  throw new Error(`${parents[0] ?? ''}: ${NAMES_MAX} directories ${wanted}… are there already`)
}

function moveInto(directory: string, from: string, name: string): void {
  if (!existsSync(from)) return
  makeDirectoriesSync(directory)
  renameSync(from, join(directory, name))
}
