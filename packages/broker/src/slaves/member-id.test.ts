/** The id of a broker's log, whatever its role. */
import { expect, test } from 'vitest'
import { memberIdOf } from './member-id.ts'

const random = { below: () => 42 }
const of = (classic: 'master' | 'slave' | null, found: readonly string[], enableDLegerCommitLog = false) =>
  memberIdOf({ classic, selfId: 'n0', storePathRootDir: '/store', enableDLegerCommitLog }, found, random)

test('is chosen where there is no log, and read from it where there is one', () => {
  expect([of('master', []), of('slave', [])]).toEqual(['n0', 's42'])
  expect([of('master', ['s7']), of('slave', ['n0'])]).toEqual(['s7', 'n0'])
})

test('is as configured where nobody copies anybody', () => {
  expect([of(null, []), of(null, ['n0']), of(null, ['n1', 'n0'])]).toEqual(['n0', 'n0', 'n0'])
})

test('a log of another id is not left aside where nobody copies anybody any more; a member of a group is given the log', () => {
  expect(() => of(null, ['s7'])).toThrow(/holds the log of s7 .*none of n0.* set brokerRole=/)
  expect(of(null, ['n1', 'n2'], true)).toBe('n0')
})

test('several logs are refused', () => {
  expect(() => of('slave', ['n0', 's7'])).toThrow(/holds the logs of n0 and s7/)
})
