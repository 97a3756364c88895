/**
 * A directory that Apache's DLedger made, before this program has a hard state there: what it says of term and vote.
 *
 *   currterm        Java properties: currTerm=<n>, voteLeader=<member id, empty for none>
 *   currterm.tmp    the newer one, whole, when a crash came between removing currterm and renaming this to it
 *   currterm.bak    the one before: never a vote to go by
 *
 * Keeps:
 *   A1  nothing is taken over from a directory whose vote is not known, or whose files are of another size.
 *   A2  currterm is read once: when the hard state is there it is put out of the way, so that a hard state lost later does not
 *       bring an old vote back.
 *
 * Source: io.openmessaging.storage.dledger.MemberState (loadTerm, persistTerm), utils.IOUtils.string2File.
 */
import { join } from 'node:path'
import type { Disk } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import { INDEX_FILE_BYTES_DEFAULT } from '../log/index-codec.ts'

const TERM_FILE = 'currterm'
/** In the order in which they count. */
const TERM_FILES = [TERM_FILE, `${TERM_FILE}.tmp`]
const TAKEN_SUFFIX = '.taken'
/** Apache writes two short lines. */
const TERM_FILE_BYTES_MAX = 4096
const SEGMENT_NAME = /^\d{20}$/

export interface ApacheDirectoryClaim {
  readonly disk: Disk
  readonly directory: string
  readonly settings: { readonly fileBytes: number; readonly indexFileBytes?: number }
}

export interface TermAndVote {
  readonly term: number
  readonly votedFor: string | null
}

/**
 * @returns null for a directory that holds nothing of a log yet.
 * @throws DLedgerError INVALID for files of another size, CORRUPT when log files are there but no term and vote.
 */
export function readApacheDirectory(claim: ApacheDirectoryClaim): TermAndVote | null {
  const { disk, directory } = claim
  const data = segmentNames(disk, join(directory, 'data'))
  const present = TERM_FILES.find((name) => disk.existsSync(join(directory, name)))
  if (present === undefined) {
    if (data.length === 0) return null
    throw unknownVote(directory, `holds log files (data/${data[0]}) but no hard state and no ${TERM_FILE}`)
  }
  const vote = parseTermFile(readText(disk, join(directory, present)))
  if (vote === null) throw unknownVote(directory, `holds ${present} of Apache's DLedger, which cannot be read`)
  refuseOtherSize(claim, 'data', claim.settings.fileBytes)
  refuseOtherSize(claim, 'index', claim.settings.indexFileBytes ?? INDEX_FILE_BYTES_DEFAULT)
  return vote
}

/** For a log that ends in a term above the one that was made durable with the vote: what was voted there is forgotten. */
export function refuseForgottenTerm(directory: string, { term }: TermAndVote, lastTerm: number): void {
  if (term >= lastTerm) return
  throw unknownVote(directory, `has entries of term ${lastTerm}, but its ${TERM_FILE} says ${term}`)
}

/** From now on the hard state counts. */
export function retireApacheTerm(disk: Disk, directory: string): void {
  const present = TERM_FILES.map((name) => join(directory, name)).filter((path) => disk.existsSync(path))
  for (const path of present) disk.renameSync(path, `${path}${TAKEN_SUFFIX}`)
  if (present.length > 0) disk.syncDirectorySync(directory)
}

/** Java properties as far as Apache writes them: a key, `=` or `:`, a value; the last of a key counts. */
export function parseTermFile(text: string): TermAndVote | null {
  const values = new Map<string, string>()
  for (const line of text.split(/\r\n|\r|\n/)) {
    const property = /^\s*([^#!\s=:][^\s=:]*)\s*[=:]\s*(.*?)\s*$/.exec(line)
    if (property !== null) values.set(property[1] as string, property[2] as string)
  }
  const digits = values.get('currTerm')
  if (digits === undefined || !/^\d+$/.test(digits)) return null
  const term = Number(digits)
  if (!Number.isSafeInteger(term)) return null
  const votedFor = values.get('voteLeader') ?? ''
  return { term, votedFor: votedFor === '' ? null : votedFor }
}

function readText(disk: Disk, path: string): string {
  const file = disk.openSync(path, { create: false, readOnly: true })
  try {
    const size = file.sizeSync()
    if (size > TERM_FILE_BYTES_MAX) return ''
    const bytes = Buffer.alloc(size)
    return bytes.subarray(0, file.readSync(bytes, 0)).toString('utf8')
  } finally {
    file.closeSync()
  }
}

function segmentNames(disk: Disk, directory: string): string[] {
  return disk.listSync(directory).filter((name) => SEGMENT_NAME.test(name))
}

/** Files of ours get their full size when they are found smaller; those of Apache are what tells which size it was. */
function refuseOtherSize({ disk, directory }: ApacheDirectoryClaim, kind: 'data' | 'index', fileBytes: number): void {
  const names = segmentNames(disk, join(directory, kind))
  for (const [i, name] of names.entries()) {
    const file = disk.openSync(join(directory, kind, name), { create: false, readOnly: true })
    const size = file.sizeSync()
    file.closeSync()
    // The last one may have been made in the moment of a crash.
    if (size === fileBytes || (size === 0 && i === names.length - 1)) continue
    const what = `${directory}/${kind}/${name} has ${size} bytes, the configuration says files of ${fileBytes}`
    throw new DLedgerError(`${what}; set the size that it was made with`, { code: 'INVALID', what: 'fileBytes' })
  }
}

function unknownVote(directory: string, what: string): DLedgerError {
  return new DLedgerError(
    `${directory}: ${what}: its term and vote are unknown, so it may not vote. If Apache's DLedger made it, stop all members of ` +
      `the group and write ${TERM_FILE} there with one line, currTerm=N: N is one more than the highest currTerm of all ` +
      "members' files and than the term of their newest entries. If this program made it, let the member join anew",
    { code: 'CORRUPT', file: join(directory, 'hard-state'), at: 0 },
  )
}
