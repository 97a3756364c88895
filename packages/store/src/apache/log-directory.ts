/**
 * Where the log of a member lies: `<commitLogDir>/dledger-<self>`, or `<dir>/dledger-<self>` where Apache's broker put it.
 *
 * Keeps: a log is opened where it is; nothing is moved or copied, and none is left aside in silence.
 *
 * Source: org.apache.rocketmq.store.dledger.DLedgerCommitLog, which sets the base directory of DLedger to storePathRootDir.
 */
import { join } from 'node:path'
import type { Disk } from '@dledger-ts/dledger'
import { StoreError } from '../errors.ts'

/** Of Apache's DLedger, until our first start there has put them out of the way. */
const TERM_FILES = ['currterm', 'currterm.tmp']
/** Each of these says that the directory is a member's. */
const MEMBER_FILES = ['hard-state', ...TERM_FILES]
const DIRECTORY_NAME = /^dledger-([A-Za-z_]*\d{1,9})$/
const SEGMENT_NAME = /^\d{20}$/

export interface LogDirectoryOptions {
  readonly disk: Disk
  readonly dir: string
  readonly commitLogDir: string
  readonly self: string
}

/** @throws StoreError INVALID when both places hold a log. Changes nothing. */
export function findLogDirectory({ disk, dir, commitLogDir, self }: LogDirectoryOptions): string {
  const name = `dledger-${self}`
  const ours = join(commitLogDir, name)
  const theirs = join(dir, name)
  if (ours === theirs || !holdsLog(disk, theirs)) return ours
  if (!holdsLog(disk, ours)) return theirs
  throw new StoreError(
    `${theirs} and ${ours} both hold a log of member ${self}: move the one away that is not to be served`,
    { code: 'INVALID', what: 'storePathCommitLog' },
  )
}

/** The ids of the members whose logs are there, in either place. */
export function logIds({ disk, dir, commitLogDir }: Omit<LogDirectoryOptions, 'self'>): readonly string[] {
  const names = [commitLogDir, dir].flatMap((directory) => disk.listSync(directory))
  return [...new Set(names.flatMap((name) => DIRECTORY_NAME.exec(name)?.[1] ?? []))]
}

/** Whether Apache's DLedger was the last that ran on a member's directory. */
export function holdsApacheTerm(disk: Disk, directory: string): boolean {
  return TERM_FILES.some((name) => disk.existsSync(join(directory, name)))
}

function holdsLog(disk: Disk, directory: string): boolean {
  if (MEMBER_FILES.some((name) => disk.existsSync(join(directory, name)))) return true
  return disk.listSync(join(directory, 'data')).some((name) => SEGMENT_NAME.test(name))
}
