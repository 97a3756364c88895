/**
 * Apache's own DLedger classes read what our members wrote: no-ops, configurations, several files with blanks, a tail that was
 * cut and written anew, and a directory of Apache's that ours goes on writing.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, systemClock } from '@dledger-ts/base'
import { type CommittedEntry, DLedger, MemoryNetwork, MemoryTransport, type StateMachine } from '@dledger-ts/dledger'
import { REPOSITORY } from '../processes/group/fast-try.ts'
import { untilTrue } from '../processes/group/until.ts'
import { type FileReader, missingCommand } from './clients.ts'
import type { Report } from './report.ts'

const FILE_BYTES = 64 * 1024
const INDEX_FILE_BYTES = 32 * 5_242_880
const IDS = ['n0', 'n1', 'n2']
const UNTIL_MS = 20_000
const ENTRY_HEADER_BYTES = 48
const SETTINGS = {
  fileBytes: FILE_BYTES,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 100,
  group: 'g',
}

export async function runDLedgerFiles(reader: FileReader, report: Report): Promise<void> {
  const missing = await missingCommand(reader)
  if (missing !== undefined) return report.skipped(reader.name, `${missing} is not installed`)
  report.suite(reader.name)
  const root = mkdtempSync(join(tmpdir(), 'interop-dledger-'))
  try {
    await reader.build()
    const ours = await compare(reader, report, root, 'a group whose leader lost a tail', writeGroup)
    report.check('such a log has what is hard to read', ours.files > 3 && ours.terms > 1, describe(ours))
    const continued = await compare(reader, report, root, "a directory of Apache's that goes on", continueApache)
    report.check('old and new entries are there', continued.terms > 3 && continued.files > 6, describe(continued))
  } catch (failure) {
    report.check('the suite runs to its end', false, failure instanceof Error ? String(failure.stack) : String(failure))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** What one log holds, line by line as the Java program prints it. */
interface Expected {
  readonly lines: string[]
  readonly files: number
  readonly terms: number
}

function describe({ lines, files, terms }: Expected): string {
  return `${lines.length - 1} entries in ${files} files and ${terms} terms`
}

async function compare(
  reader: FileReader,
  report: Report,
  root: string,
  name: string,
  write: (base: string) => Promise<Member[]>,
): Promise<Expected> {
  const base = join(root, name.replaceAll(/\W+/g, '-'))
  mkdirSync(base)
  let first: Expected | null = null
  for (const { id, applied } of await write(base)) {
    const files = readdirSync(join(base, `dledger-${id}`, 'data')).length
    const lines = [`range 0 ${applied.lines.length - 1}`, ...applied.lines]
    const expected = { lines, files, terms: applied.terms.size }
    const found = await reader.read(base, id, FILE_BYTES, INDEX_FILE_BYTES)
    const differs = lines.findIndex((line, i) => line !== found[i])
    const same = differs === -1 && found.length === lines.length
    const difference = `ours: ${lines[differs]}; theirs: ${found[differs]} (${found.length} lines)`
    report.check(`${name}: ${id}`, same, same ? describe(expected) : difference)
    first ??= expected
  }
  if (first === null) throw new Error('nothing was written')
  return first
}

/** What a member applied, control entries included. */
class Applied implements StateMachine {
  readonly appliedIndex = -1
  readonly lines: string[] = []
  readonly terms = new Set<number>()

  apply(entries: readonly CommittedEntry[]): void {
    for (const { index, term, pos, body } of entries) {
      this.lines.push(`entry ${index} ${term} ${pos} ${ENTRY_HEADER_BYTES + body.length} ${crc32(body)}`)
      this.terms.add(term)
    }
  }

  discard(): void {}
  roleChanged(): void {}
  durable(): void {}
}

interface Member {
  readonly id: string
  readonly log: DLedger
  readonly applied: Applied
}

/** The directory is named as Apache names it. */
async function open(base: string, id: string, transport?: MemoryTransport): Promise<Member> {
  const applied = new Applied()
  const more = transport === undefined ? {} : { transport, members: IDS }
  const directory = join(base, `dledger-${id}`)
  const log = await DLedger.open({ ...SETTINGS, directory, self: id, stateMachine: applied, ...more })
  return { id, log, applied }
}

async function leaderOf(members: readonly Member[]): Promise<Member> {
  const find = (): Member | undefined => members.find(({ log }) => log.status().ready)
  await untilTrue('a leader', UNTIL_MS, () => find() !== undefined)
  return find() as Member
}

const bodies = (from: number, count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${from + i}:${'x'.repeat(1 + ((i * 397) % 3_000))}`))

async function writeGroup(base: string): Promise<Member[]> {
  const network = new MemoryNetwork(systemClock)
  const members = await Promise.all(
    IDS.map((self) => open(base, self, new MemoryTransport({ self, network, clock: systemClock, peers: IDS }))),
  )
  const old = await leaderOf(members)
  await old.log.append(bodies(0, 120))
  network.isolate(old.id)
  const lost = old.log.append(bodies(1_000, 80)).then(
    () => false,
    () => true,
  )
  const next = await leaderOf(members.filter((member) => member !== old))
  await next.log.append(bodies(200, 60))
  network.healAll()
  const { lastIndex } = next.log
  await untilTrue('all have all', UNTIL_MS, () => members.every(({ log }) => log.appliedIndex >= lastIndex))
  if (!(await lost)) throw new Error('a leader that was cut off acknowledged')
  await Promise.all(members.map(({ log }) => log.close()))
  return members
}

async function continueApache(base: string): Promise<Member[]> {
  const archive = join(REPOSITORY, 'test', 'vectors', 'dledger-store', 'n0.tar.gz')
  const inside = 'store/dledger-n0'
  const wanted = ['data', 'index', 'currterm', 'checkpoint'].map((name) => `${inside}/${name}`)
  execFileSync('tar', ['-xzf', archive, '-C', base, ...wanted])
  renameSync(join(base, inside), join(base, 'dledger-n0'))
  rmSync(join(base, 'store'), { recursive: true })
  for (let round = 0; ; round++) {
    const member = await open(base, 'n0')
    await member.log.append(bodies(round * 100, 60))
    await member.log.close()
    // The last life has applied all from the start.
    if (round === 1) return [member]
  }
}
