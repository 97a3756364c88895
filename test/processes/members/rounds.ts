/**
 * Round after round something happens to a group of real processes while its clients never stop; then what they saw is judged, and
 * the members' files are compared byte for byte.
 */
import { seededRandom } from '@dledger-ts/base'
import { firstDifferenceBefore, readEntries, readFiles } from '../group/log-files.ts'
import { type BlowName, blowOf } from './blows.ts'
import { Clients } from './clients.ts'
import { MemberGroup, type MemberGroupOptions } from './member-group.ts'

const ACKNOWLEDGED_BETWEEN = 60
/** Of each member's log, where a run fails. */
const LOG_CHARACTERS_TOLD = 8_000

export interface RoundsOptions extends Omit<MemberGroupOptions, 'random'> {
  readonly seed: number
  readonly blows: readonly BlowName[]
  /** Told one line at a time what happens. */
  readonly say: (line: string) => void
}

export interface Round {
  readonly blow: BlowName
  /** The longest time without an acknowledgement: last one before, first one after. */
  readonly gapMs: number
}

export interface RoundsResult {
  readonly rounds: readonly Round[]
  readonly acknowledged: number
  readonly unknown: number
  readonly refused: number
  readonly reads: number
  readonly operations: number
  /** Of the operations: reads answered without an entry in the log. */
  readonly readsWithoutEntry: number
  readonly violations: readonly string[]
  /** Bits that were flipped on the way, and connections closed for bytes that are no frames, in the members that still live. */
  readonly flips: number
  readonly resets: number
  readonly badFrames: number
  /** Sectors and names that power cuts took. */
  readonly undone: number
}

export async function runRounds(options: RoundsOptions): Promise<RoundsResult> {
  const { seed, blows, say } = options
  const random = seededRandom(seed)
  say(`seed ${seed}`)
  const group = await MemberGroup.create({ ...options, random: seededRandom(random.below(2 ** 31)) })
  try {
    await group.start()
    await group.untilLeader()
    const clients = new Clients(group, seededRandom(random.below(2 ** 31)))
    const untilAcknowledged = (count: number): Promise<void> => clients.untilAcknowledged(count)
    const askForRegisters = clients.askForRegisters.bind(clients)
    clients.start()
    const rounds: Round[] = []
    for (const blow of blows) {
      await untilAcknowledged(ACKNOWLEDGED_BETWEEN)
      const leader = await group.untilLeader()
      const others = group.members.filter((member) => member !== leader)
      const follower = others[random.below(others.length)] as (typeof others)[number]
      clients.takeLongestGapMs()
      await blowOf(blow)({ group, leader, follower, random, untilAcknowledged, askForRegisters })
      await untilAcknowledged(ACKNOWLEDGED_BETWEEN)
      const gapMs = clients.takeLongestGapMs()
      rounds.push({ blow, gapMs })
      say(`${blow}: ${gapMs.toFixed(0)} ms without an acknowledgement`)
      await group.untilCaughtUp()
    }
    const statuses = await Promise.all(group.members.map((member) => member.status()))
    const badFrames = statuses.reduce((sum, status) => sum + (status?.badFrames ?? 0), 0)
    const violations = await clients.finish()
    await Promise.all(group.members.map((member) => member.kill()))
    const count = (outcome: string): number => clients.appends.filter((append) => append.outcome === outcome).length
    return {
      rounds,
      acknowledged: clients.acknowledged,
      unknown: count('unknown'),
      refused: count('refused'),
      reads: clients.reads.length,
      operations: clients.operations.length,
      readsWithoutEntry: clients.readsWithoutEntry,
      violations: [...violations, ...fileViolations(group)],
      flips: [...group.links.values()].reduce((sum, link) => sum + link.flips, 0),
      resets: [...group.links.values()].reduce((sum, link) => sum + link.resets, 0),
      badFrames,
      undone: group.undone,
    }
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${await lastWordsOf(group)}`, { cause: error })
  } finally {
    await group.close()
  }
}

/** The log's files are equal byte for byte as far as each reaches. */
function fileViolations(group: MemberGroup): string[] {
  const [model, ...others] = group.members.map(({ id, config }) => ({ id, files: readFiles(config.directory, 'data') }))
  if (model === undefined) return []
  const { end } = readEntries(model.files)
  return others.flatMap(({ id, files }) => {
    const difference = firstDifferenceBefore(end, model.files, files)
    return difference === undefined ? [] : [`the files of ${model.id} and ${id} differ: ${difference}`]
  })
}

/** What members answer now, and the last that they logged: for whoever looks why a run failed. */
async function lastWordsOf(group: MemberGroup): Promise<string> {
  const words = group.members.map(async (member) => {
    const stopped = member.process?.stopped?.message
    const status = stopped === undefined ? JSON.stringify(await member.status()) : `stopped: ${stopped}`
    return `--- ${member.id}: ${status}\n${member.process?.stderr.slice(-LOG_CHARACTERS_TOLD) ?? 'down'}`
  })
  return (await Promise.all(words)).join('\n')
}

/** All counts, and how long the group was without an acknowledgement, by blow. */
export function summary(result: RoundsResult): string {
  const { rounds, acknowledged, unknown, refused, reads, operations, readsWithoutEntry, violations } = result
  const gaps = new Map<BlowName, number[]>()
  for (const { blow, gapMs } of rounds) gaps.set(blow, [...(gaps.get(blow) ?? []), gapMs])
  return [
    ...[...gaps].map(([blow, values]) => `${blow}: ${distribution(values)}`),
    `${rounds.length} rounds, ${acknowledged} acknowledged, ${unknown} of unknown outcome, ${refused} refused, ${reads} reads, ` +
      `${operations} operations on registers (${readsWithoutEntry} reads without an entry), ${violations.length} violations`,
  ].join('\n')
}

export function distribution(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(0)
  return `n ${sorted.length}, gap in ms: median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)}`
}
