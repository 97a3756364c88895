/**
 * Where planted faults are hunted whose situation is too rare among all that is drawn: the schedule of a seed, made over.
 *
 * A late answer to a recovering member, which loses power again and is answered late once more: on a network of datagrams, in bad
 * weather, under ASYNC_FLUSH, with one member that loses power again and again.
 *
 * A hard state whose newest record is lost in one of its copies, while the record before that says less: between a vote and the next
 * durable hint, a tenth of a second later. So leadership is handed over again and again, and all die at once right after that.
 */
import type { FaultName } from './planted.ts'
import type { Fault, Schedule } from './schedule.ts'

const WEATHER_FROM_MS = 1_300
const POWER_LOSSES = 6
const STEADY_MS = 40

const HAND_OVERS = 8
const HAND_OVER_EVERY_MS = 550
const VOTED_WITHIN_MS = 10

export function huntedIn(fault: FaultName, schedule: Schedule, seed: number): Schedule {
  if (fault === 'recover-answer-without-nonce') return powerLossesInBadWeather(schedule, seed)
  return fault === 'hard-state-copy-unread' ? deathsAfterVotes(schedule, seed) : schedule
}

function deathsAfterVotes(schedule: Schedule, seed: number): Schedule {
  const faults: Fault[] = []
  for (let i = 0; i < HAND_OVERS; i++) {
    const atMs = WEATHER_FROM_MS + i * HAND_OVER_EVERY_MS
    const diesAtMs = atMs + VOTED_WITHIN_MS + ((seed * 7 + i * 13) % 60)
    faults.push({ kind: 'transfer', atMs, to: (seed + i) % schedule.members })
    for (let member = 0; member < schedule.members; member++) {
      const record = {
        target: 'hardState',
        how: 'stale',
        place: (seed + member + (i >> 1)) % 2,
        seed: seed + i,
      } as const
      faults.push({ kind: 'rot', atMs: diesAtMs, member, ...record })
    }
    faults.push({ kind: 'crashAll', atMs: diesAtMs + 1, death: 'kill', downMs: 5 })
  }
  return { ...schedule, faults, steadyMs: STEADY_MS }
}

function powerLossesInBadWeather(schedule: Schedule, seed: number): Schedule {
  const everyMs = 250 + (seed % 7) * 60
  const faults: Fault[] = [
    {
      kind: 'weather',
      atMs: WEATHER_FROM_MS,
      lossPerMille: seed % 100,
      duplicatePerMille: 300,
      latePerMille: 400 + (seed % 400),
      delayMs: 20,
      forMs: 4_000,
    },
  ]
  for (let i = 0; i < POWER_LOSSES; i++) {
    const atMs = WEATHER_FROM_MS + 200 + i * everyMs + ((seed * 37) % 150)
    faults.push({ kind: 'crash', atMs, member: seed % schedule.members, death: 'power', downMs: 5 + (seed % 40) })
  }
  return { ...schedule, flush: 'ASYNC_FLUSH', network: 'datagrams', faults, steadyMs: STEADY_MS }
}
