/** Warnings that come often are told once a second, and none is lost from the count. */
import { silentLogger } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { PacedWarnings } from './paced-warnings.ts'

test('each kind is told at once, then once a second with the number of the others', () => {
  const clock = new ManualClock()
  const told: unknown[] = []
  const warnings = new PacedWarnings(clock, { ...silentLogger, warn: (fields, event) => told.push([event, fields]) })
  for (let i = 0; i < 5; i++) warnings.warn({ i }, 'one')
  warnings.warn({}, 'other')
  clock.advance(999)
  warnings.warn({ i: 5 }, 'one')
  clock.advance(1)
  warnings.warn({ i: 6 }, 'one')
  clock.advance(1_000)
  warnings.warn({ i: 7 }, 'one')
  expect(told).toEqual([
    ['one', { i: 0 }],
    ['other', {}],
    ['one', { i: 6, others: 5 }],
    ['one', { i: 7 }],
  ])
})
