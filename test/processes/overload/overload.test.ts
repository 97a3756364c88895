/**
 * A real group under more than it can take: what it does not take it refuses at once, with the code that sends the client elsewhere; the leader stays the
 * leader, its memory stays bounded, and afterwards everything is as before.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Producer } from '@dledger-ts/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Admin } from '../group/admin.ts'
import { FastTry } from '../group/fast-try.ts'
import { type MemberStatus, MemberStatuses } from '../group/member-statuses.ts'
import { untilTrue } from '../group/until.ts'
import { type Codes, Flood, NEW_VERSION, OLD_VERSION } from './flood.ts'

const TOPIC = 'Overload'
const QUEUES = 4
/** Messages of the log that are kept, what is under way, what waits for slow peers, and the process itself. */
const MEMORY_MIB_MAX = 640
const CALM_MS = 60_000
/**
 * The followers stand still for so long, again and again, and answer in between: well within the election timeout, 500 ms, for which a
 * leader goes on that no majority answers.
 */
const STANDSTILL_S = 0.2
const BETWEEN_S = 0.1
/** Of our client, for one message. */
const TRIES = 3

let group: FastTry
let members: MemberStatuses
let admin: Admin

beforeAll(async () => {
  group = await FastTry.create()
  await group.start('--fresh')
  members = new MemberStatuses(group)
  admin = new Admin(group.namesrv)
}, 180_000)

afterAll(async () => {
  admin.close()
  await group.close()
}, 60_000)

test(
  'a group that is flooded refuses with the code that sends clients elsewhere, keeps its leader and its memory, and goes on afterwards',
  { timeout: 240_000 },
  async () => {
    await admin.createTopic(TOPIC, QUEUES)
    const leader = await members.leader()
    const watch = watched(leader)
    const flood = new Flood({ address: leader.addr, topic: TOPIC, queueCount: QUEUES })
    const producer = new Producer({ group: 'calm', namesrvAddress: group.namesrv })
    producer.start()
    let newer: Codes
    let older: Codes
    let queries: Codes
    let topics: Codes
    const calm = { sent: 0, unknown: 0, isOver: false }
    const calmSender = sendCalmly(producer, calm)
    try {
      // Something to pull and to find, first.
      expect(await flood.sends({ connections: 1, each: 40, version: NEW_VERSION })).toEqual({ 0: 40 })
      await flood.slowReaders({ connections: 40, each: 400 })
      ;[queries, topics] = await Promise.all([
        flood.queries({ connections: 10, each: 60, version: NEW_VERSION }),
        flood.newTopics({ connections: 4, each: 25, version: NEW_VERSION }),
      ])
      // Nothing is committed for most of the time: what is under way grows to its bound.
      const followers = (await members.all()).filter(({ id }) => id !== leader.id)
      const standstills = standStills(followers.map(({ pid }) => String(pid)))
      try {
        ;[newer, older] = await Promise.all([
          flood.sends({ connections: 16, each: 150, version: NEW_VERSION }),
          flood.sends({ connections: 4, each: 150, version: OLD_VERSION }),
        ])
      } finally {
        await standstills.end()
      }
    } finally {
      calm.isOver = true
      await calmSender
      flood.close()
    }
    const seen = { newer, older, queries, topics, calm, watch: await watch.ended() }
    const story = JSON.stringify(seen)
    // Refused as each client understands it: 2 is repeated elsewhere by newer clients, 14 by older ones. 1 says that nobody knows.
    expect(codesOf(queries), story).toEqual(['0', '2'])
    expect(topics, story).toEqual({ 0: 100 })
    expect(
      codesOf(newer).filter((code) => !['0', '1', '2'].includes(code)),
      story,
    ).toEqual([])
    expect(newer[2], story).toBeGreaterThan(0)
    expect(
      codesOf(older).filter((code) => !['0', '1', '14'].includes(code)),
      story,
    ).toEqual([])
    expect(older[14], story).toBeGreaterThan(0)
    expect(seen.watch.roles, story).toEqual(['LEADER'])
    expect(seen.watch.terms, story).toHaveLength(1)
    expect(seen.watch.rssMiB, story).toBeLessThan(MEMORY_MIB_MAX)
    expect(calm.sent, story).toBeGreaterThan(0)

    // All that was acknowledged is there, and nothing that was refused.
    const ranges = await Promise.all(
      Array.from({ length: QUEUES }, (_, queue) => admin.range(leader.addr, TOPIC, queue)),
    )
    const stored = ranges.reduce((sum, { maxOffset, minOffset }) => sum + maxOffset - minOffset, 0)
    const acknowledged = 40 + (newer[0] ?? 0) + (older[0] ?? 0) + calm.sent
    expect(stored, story).toBeGreaterThanOrEqual(acknowledged)
    expect(stored, story).toBeLessThanOrEqual(acknowledged + (newer[1] ?? 0) + (older[1] ?? 0) + calm.unknown)

    await untilTrue('sends and reads are served as before', CALM_MS, async () => {
      const { queue, queueOffset } = await producer.send({ topic: TOPIC, body: Buffer.from('after') })
      const { maxOffset } = await admin.range(leader.addr, TOPIC, queue.queueId)
      return maxOffset > queueOffset
    })
    await producer.close()
    await members.caughtUp()
    expect((await members.leader()).id).toBe(leader.id)
  },
)

function codesOf(...all: Codes[]): string[] {
  return [...new Set(all.flatMap((codes) => Object.keys(codes)))].sort()
}

/** One message after the other, as an ordinary client: it repeats what is refused. */
async function sendCalmly(
  producer: Producer,
  calm: { sent: number; unknown: number; readonly isOver: boolean },
): Promise<void> {
  while (!calm.isOver) {
    try {
      await producer.send({ topic: TOPIC, body: Buffer.from('calm') })
      calm.sent++
    } catch {
      // It was repeated: each time it may be stored.
      calm.unknown += TRIES
    }
  }
}

interface Watched {
  readonly rssMiB: number
  readonly roles: string[]
  readonly terms: number[]
}

/** By a process of its own: this one is busy. */
function standStills(pids: readonly string[]): { end(): Promise<void> } {
  const goOn = `kill -CONT ${pids.join(' ')}`
  const each = `kill -STOP ${pids.join(' ')}; sleep ${STANDSTILL_S}; ${goOn}; sleep ${BETWEEN_S}`
  const script = `trap '${goOn}; exit' TERM; while kill -0 ${process.pid}; do ${each}; done`
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' })
  return {
    async end() {
      const exit = once(child, 'exit')
      child.kill()
      await exit
    },
  }
}

/** Looks at a member again and again until it is asked. */
function watched({ id, pid }: MemberStatus): { ended(): Promise<Watched> } {
  let rssMiB = 0
  let isOver = false
  const roles = new Set<string>()
  const terms = new Set<number>()
  const looking = (async () => {
    while (!isOver) {
      const status = (await members.all()).find((member) => member.id === id)
      if (status !== undefined) {
        roles.add(String(status.role))
        terms.add((status as MemberStatus & { term: number }).term)
      }
      const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
      rssMiB = Math.max(rssMiB, Math.round(Number(line?.[1]) / 1024))
    }
  })()
  return {
    async ended() {
      isOver = true
      await looking
      return { rssMiB, roles: [...roles], terms: [...terms] }
    },
  }
}
