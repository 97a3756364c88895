/** No work when idle: what a group that nobody asks for anything costs, counted on the simulated clock. */
import { expect, test } from 'vitest'
import { Cluster } from './cluster.ts'
import { NO_PLANTED_FAULTS } from './planted.ts'
import type { Schedule } from './schedule.ts'

const SECONDS = 20

test('an idle group of three wakes once a heartbeat, and says nothing but heartbeats and their answers', () => {
  const schedule: Schedule = {
    seed: 5,
    members: 3,
    flush: 'SYNC_FLUSH',
    network: 'datagrams',
    faultyMs: 0,
    faults: [],
    requests: [],
  }
  const cluster = new Cluster(schedule, { keepText: false, planted: NO_PLANTED_FAULTS, judgedByClients: false })
  // Elected, identities bound, all of it synced and noted.
  cluster.run(5_000)
  expect(cluster.leader()?.role?.ready).toBe(true)
  const counts = new Map<string, number>()
  const note = cluster.trace.note.bind(cluster.trace)
  cluster.trace.note = (kind: string, ...rest: [number, number, number]): void => {
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    note(kind, ...rest)
  }
  cluster.run(5_000 + SECONDS * 1_000)
  const perSecond = (kind: string): number => (counts.get(kind) ?? 0) / SECONDS
  const heartbeats = 1_000 / cluster.settings.heartbeatMs
  // Each of three members; clocks run up to 2 % fast.
  expect(perSecond('timer')).toBeLessThanOrEqual(3 * heartbeats * 1.03)
  // Nothing gathers input, and nobody is dialled.
  expect(perSecond('pass')).toBeLessThanOrEqual(1)
  expect(perSecond('connect')).toBe(0)
  expect(perSecond('Heartbeat')).toBeLessThanOrEqual(2 * heartbeats * 1.03)
  expect(perSecond('HeartbeatResponse')).toBeLessThanOrEqual(2 * heartbeats * 1.03)
  expect(perSecond('Heartbeat')).toBeGreaterThan(2 * heartbeats * 0.9)
  const silent = [...counts.keys()].filter((kind) => /Append|Vote|Read|Timeout|write|sync/.test(kind))
  expect(silent).toEqual([])
  expect(cluster.violation).toBeNull()
})
