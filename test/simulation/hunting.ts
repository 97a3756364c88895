/**
 * Where planted faults are hunted whose situation is too rare among all that is drawn: the schedule of a seed, made over.
 *
 * A late answer to a recovering member, which loses power again and is answered late once more: on a network of datagrams, in bad
 * weather, under ASYNC_FLUSH, with one member that loses power again and again.
 */
import type { FaultName } from './planted.ts'
import type { Fault, Schedule } from './schedule.ts'

const WEATHER_FROM_MS = 1_300
const POWER_LOSSES = 6
const STEADY_MS = 40

export function huntedIn(fault: FaultName, schedule: Schedule, seed: number): Schedule {
  return fault === 'recover-answer-without-nonce' ? powerLossesInBadWeather(schedule, seed) : schedule
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
