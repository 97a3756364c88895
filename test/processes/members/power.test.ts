/**
 * Power cuts under ASYNC_FLUSH, in real processes: what was not synced may be gone. A member that comes back from one does not count
 * until it is whole; where a majority was spared nothing acknowledged is lost, and else only what no sync had covered.
 */
import { randomInt } from 'node:crypto'
import { seededRandom } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import { until, untilTrue } from '../group/until.ts'
import type { BlowName } from './blows.ts'
import { Clients } from './clients.ts'
import { type AppendAnswer, digestOf, type EntryBody, type ReadAnswer, type StatusAnswer } from './conversation.ts'
import { type GroupMember, MemberGroup } from './member-group.ts'
import { runRounds, summary } from './rounds.ts'

const TIMEOUT_MS = 120_000
const WAIT_MS = 30_000
const ANSWER_MS = 10_000
/** Times that a member must have asked for votes, an election timeout apart, before it is said that it cannot be elected. */
const ATTEMPTS = 5
/** A question and its answer. */
const MESSAGES_OF_AN_ATTEMPT = 2

describe('a power cut under ASYNC_FLUSH', { timeout: TIMEOUT_MS }, () => {
  test('of one member, also of the leader, loses nothing that was acknowledged', async () => {
    const blows: BlowName[] = ['power cut of the leader', 'power cut of a follower', 'power cut of the leader']
    const seed = randomInt(2 ** 31)
    const options = { size: 3, flush: 'ASYNC_FLUSH', shadowed: true, seed, blows } as const
    const result = await runRounds({ ...options, say: (line) => console.log(line) })
    console.log(summary(result))
    expect({ seed, violations: result.violations }).toEqual({ seed, violations: [] })
    expect(result.acknowledged).toBeGreaterThan(100 * blows.length)
    // Power cuts that undo nothing would prove nothing.
    expect(result.undone).toBeGreaterThan(0)
  })

  test('leaves a member that does not count: with it alone the one that was spared is not elected', async () => {
    await withGroup(async (group, seed) => {
      const clients = new Clients(group, seededRandom(seed))
      clients.start()
      await clients.untilAcknowledged(200)
      const leader = await group.untilLeader()
      const [hurt, spared] = group.members.filter((member) => member !== leader) as [GroupMember, GroupMember]
      await group.losePower([hurt])
      await leader.kill()
      await hurt.start()
      await untilAttempts(group, spared, hurt)
      expect(await hurt.status()).toMatchObject({ recovering: true })
      expect(await group.leader()).toBe(null)
      await leader.start()
      await clients.untilAcknowledged(50)
      await untilTrue('it counts again', WAIT_MS, async () => (await hurt.status())?.recovering === false)
      expect(await clients.finish()).toEqual([])
    })
  })

  test('of all loses only the newest that nobody had synced, and all must be back before one leads', async () => {
    await withGroup(async (group) => {
      const bodies = Array.from({ length: 400 }, (_, i): EntryBody => ({ id: `a${i}`, filler: '.'.repeat(i % 700) }))
      const [synced, unsynced] = [bodies.slice(0, 200), bodies.slice(200)]
      const leader = await group.untilLeader()
      const places = await appendAll(leader, synced)
      const last = Math.max(...places.values())
      await until('all have synced that', WAIT_MS, async () => {
        const statuses = await Promise.all(group.members.map((member) => member.status()))
        return statuses.every((status) => (status?.syncedIndex ?? -1) >= last) ? true : undefined
      })
      for (const [id, index] of await appendAll(leader, unsynced)) places.set(id, index)
      const losses = await group.losePower(group.members)
      const [first, second, third] = group.members as [GroupMember, GroupMember, GroupMember]
      await Promise.all([first.start(), second.start()])
      await untilAttempts(group, first, second)
      expect(await group.leader()).toBe(null)
      await third.start()
      await group.untilLeader()
      await group.untilWhole()
      const found = await entriesOf(first)
      const ids = found.map(({ id }) => id)
      console.log(`${bodies.length - ids.length} of ${unsynced.length} lost; undone: ${JSON.stringify(losses)}`)
      // A beginning of what was appended, with all that was synced, at its places and with its bytes.
      expect(ids).toEqual(bodies.slice(0, ids.length).map(({ id }) => id))
      expect(ids.length).toBeGreaterThanOrEqual(synced.length)
      for (const [i, { id, index, content }] of found.entries()) {
        expect({ index, content }).toEqual({ index: places.get(id), content: contentOf(bodies[i] as EntryBody) })
      }
      for (const member of [second, third]) expect(await entriesOf(member)).toEqual(found)
      const statuses = await Promise.all(group.members.map((member) => member.status()))
      expect(statuses.map((status) => (status as StatusAnswer).recovering)).toEqual([false, false, false])
    })
  })
})

async function withGroup(work: (group: MemberGroup, seed: number) => Promise<void>): Promise<void> {
  const seed = randomInt(2 ** 31)
  console.log(`seed ${seed}`)
  const group = await MemberGroup.create({ size: 3, flush: 'ASYNC_FLUSH', shadowed: true, random: seededRandom(seed) })
  try {
    await group.start()
    await group.untilLeader()
    await work(group, seed)
  } finally {
    await group.close()
  }
}

/** Those two have asked each other often enough for votes: where nobody leads, members say nothing else. */
async function untilAttempts(group: MemberGroup, one: GroupMember, other: GroupMember): Promise<void> {
  const said = (): number => group.link(one, other).chunks + group.link(other, one).chunks
  // Hellos, and the last words of who led before.
  await untilTrue('they have asked', WAIT_MS, () => said() > 0)
  const before = said()
  await untilTrue('they have asked often enough', WAIT_MS, () => said() - before >= MESSAGES_OF_AN_ATTEMPT * ATTEMPTS)
}

/** @returns the index of each by its id. */
async function appendAll(leader: GroupMember, bodies: readonly EntryBody[]): Promise<Map<string, number>> {
  const answers = bodies.map(async (body): Promise<[string, number]> => {
    const { index } = await leader.ask<AppendAnswer>({ kind: 'append', body }, ANSWER_MS)
    return [body.id, index]
  })
  return new Map(await Promise.all(answers))
}

async function entriesOf(member: GroupMember): Promise<ReadAnswer['entries']> {
  return (await member.ask<ReadAnswer>({ kind: 'read', from: 0 }, ANSWER_MS)).entries
}

function contentOf(body: EntryBody): string {
  return digestOf(Buffer.from(JSON.stringify(body)))
}
