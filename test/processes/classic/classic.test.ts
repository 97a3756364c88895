/** A master and its slaves by configuration, as Apache's users knew them before 4.5: real processes, killed, stopped, and made masters by hand. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../group/until.ts'
import { Brokers } from './pair.ts'

const TIMEOUT_MS = 150_000
const NOT_AVAILABLE = 14

let brokers: Brokers

beforeEach(async () => {
  brokers = await Brokers.begin()
})

afterEach(async () => {
  await brokers.close()
})

const bodies = (from: number, count: number): string[] => Array.from({ length: count }, (_, i) => `message ${from + i}`)

describe('an ASYNC_MASTER', { timeout: TIMEOUT_MS }, () => {
  test('is copied by its slaves, and goes on without them', async () => {
    await brokers.start('a', 'ASYNC_MASTER')
    await brokers.start('b', 'SLAVE')
    await brokers.start('c', 'SLAVE', { brokerId: 2 })
    await brokers.untilListed({ 0: brokers.address('a'), 1: brokers.address('b'), 2: brokers.address('c') })
    expect(await brokers.sendAll('a', bodies(0, 20))).toEqual([0])
    await brokers.untilPulled('b', bodies(0, 20))
    await brokers.untilPulled('c', bodies(0, 20))
    // A slave passes it on, as followers do.
    expect(await brokers.sendAll('b', bodies(20, 1))).toEqual([0])
    await brokers.kill('b')
    expect(await brokers.sendAll('a', bodies(21, 20))).toEqual([0])
    await brokers.start('b', 'SLAVE')
    await brokers.untilPulled('b', bodies(0, 41))
  })

  test('that is gone leaves slaves that serve readers, and lead nothing', async () => {
    await brokers.start('a', 'ASYNC_MASTER')
    await brokers.start('b', 'SLAVE')
    await brokers.sendAll('a', bodies(0, 20))
    await brokers.untilPulled('b', bodies(0, 20))
    await brokers.kill('a')
    await brokers.untilListed({ 1: brokers.address('b') })
    expect(await brokers.pull('b')).toEqual(bodies(0, 20))
    expect((await brokers.send('b', 'not taken')).code).toBe(NOT_AVAILABLE)
    // Also after a restart, with nobody to ask.
    await brokers.stop('b')
    brokers.launch('b', 'SLAVE')
    await brokers.untilListed({ 1: brokers.address('b') })
    expect(await brokers.pull('b')).toEqual(bodies(0, 20))
    expect((await brokers.send('b', 'not taken')).code).toBe(NOT_AVAILABLE)
    // And its master comes back.
    await brokers.start('a', 'ASYNC_MASTER')
    expect(await brokers.sendAll('a', bodies(20, 5))).toEqual([0])
    await brokers.untilPulled('b', bodies(0, 25))
  })
})

describe('a slave that is made the master', { timeout: TIMEOUT_MS }, () => {
  test('has what it had; the former master stops, and becomes its slave', async () => {
    await brokers.start('a', 'ASYNC_MASTER')
    await brokers.start('b', 'SLAVE')
    await brokers.sendAll('a', bodies(0, 20))
    await brokers.untilPulled('b', bodies(0, 20))
    const { lastIndex } = await brokers.status('b')
    await brokers.kill('b')
    // These b does not have; c is another slave, which does.
    await brokers.start('c', 'SLAVE', { brokerId: 2 })
    const lost = ['lost 0', 'lost 1', 'lost 2']
    await brokers.sendAll('a', lost)
    await brokers.untilPulled('c', [...bodies(0, 20), ...lost])
    await brokers.kill('a')

    await brokers.start('b', 'ASYNC_MASTER')
    expect(await brokers.pull('b')).toEqual(bodies(0, 20))
    expect(await brokers.sendAll('b', bodies(20, 10))).toEqual([0])
    // The slave that was ahead begins anew, in the process that runs.
    await brokers.untilPulled('c', bodies(0, 30))
    await brokers.untilListed({ 0: brokers.address('b'), 2: brokers.address('c') })

    const former = await brokers.launch('a', 'ASYNC_MASTER').ended
    expect(former.status).toBe(1)
    expect(former.stderr).toMatch(/was made the master of .*pair.*brokerRole=SLAVE/)
    await brokers.untilListed({ 0: brokers.address('b'), 2: brokers.address('c') })

    await brokers.start('a', 'SLAVE')
    await brokers.untilPulled('a', bodies(0, 30))
    await brokers.untilListed({ 0: brokers.address('b'), 1: brokers.address('a'), 2: brokers.address('c') })
    for (const directory of ['a', 'c']) {
      const names = readdirSync(join(brokers.workplace.path(directory), 'commitlog'))
      expect(names.filter((name) => name.startsWith('lost-'))).toEqual([`lost-${lastIndex}`])
    }
    const says = brokers.launchedAs('a').stderr
    expect(says).toMatch(/"entries":\d+,"bytes":\d+,.*this slave has what its master does not have/)
  })

  test('stops a former master that still runs, without a word of a name server', async () => {
    await brokers.start('a', 'ASYNC_MASTER')
    await brokers.start('b', 'SLAVE')
    await brokers.sendAll('a', bodies(0, 5))
    await brokers.untilPulled('b', bodies(0, 5))
    await brokers.stop('b')
    const former = brokers.launchedAs('a')
    await brokers.start('b', 'ASYNC_MASTER')
    const { status, stderr } = await former.ended
    expect(status).toBe(1)
    expect(stderr).toMatch(/was made the master/)
    // All that it had is there: it goes on with its own log.
    await brokers.start('a', 'SLAVE')
    await brokers.sendAll('b', bodies(5, 5))
    await brokers.untilPulled('a', bodies(0, 10))
    expect(readdirSync(join(brokers.workplace.path('a'), 'commitlog'))).toHaveLength(1)
    // And back: a master that is stopped leaves nothing behind that its slave does not have.
    await brokers.stop('b')
    await brokers.stop('a')
    await brokers.start('a', 'ASYNC_MASTER')
    await brokers.start('b', 'SLAVE')
    await brokers.sendAll('a', bodies(10, 5))
    await brokers.untilPulled('b', bodies(0, 15))
    expect(readdirSync(join(brokers.workplace.path('b'), 'commitlog'))).toHaveLength(1)
  })
})

describe('with innerClientAuthenticationCredentials', { timeout: TIMEOUT_MS }, () => {
  const own = {
    innerClientAuthenticationCredentials: JSON.stringify({ accessKey: 'inner', secretKey: 'known to the brokers' }),
  }

  test('a slave copies who has the same, and takes no word of who has not', async () => {
    await brokers.start('a', 'ASYNC_MASTER', own)
    await brokers.start('b', 'SLAVE', own)
    await brokers.sendAll('a', bodies(0, 10))
    await brokers.untilPulled('b', bodies(0, 10))
    await brokers.kill('a')
    // An empty one of that name, of strangers: a slave that believed it would serve nobody.
    await brokers.start('c', 'ASYNC_MASTER')
    await brokers.untilListed({ 0: brokers.address('c'), 1: brokers.address('b') })
    const slave = brokers.launchedAs('b')
    await until('the slave says so', 30_000, () =>
      Promise.resolve(/it has no innerClientAuthenticationCredentials/.test(slave.stderr) ? true : undefined),
    )
    expect(await brokers.pull('b')).toEqual(bodies(0, 10))
    await brokers.stop('c')
    await brokers.start('a', 'ASYNC_MASTER', own)
    await brokers.sendAll('a', bodies(10, 10))
    await brokers.untilPulled('b', bodies(0, 20))
  })
})

test('a SYNC_MASTER says whether a slave has it', { timeout: TIMEOUT_MS }, async () => {
  await brokers.start('a', 'SYNC_MASTER', { slaveTimeout: 700 })
  expect((await brokers.send('a', 'message 0')).code).toBe(11)
  expect((await brokers.send('a', 'message 1', 'WAIT\u0001false\u0002')).code).toBe(0)
  await brokers.start('b', 'SLAVE')
  await until('a slave has it', 30_000, async () => ((await brokers.send('a', 'more')).code === 0 ? true : undefined))
  await brokers.sendAll('a', bodies(0, 50)).then((codes) => expect(codes).toEqual([0]))
  brokers.signal('b', 'SIGSTOP')
  expect((await brokers.send('a', 'while it stands still')).code).toBe(12)
  brokers.signal('b', 'SIGCONT')
  await until('a slave has it again', 30_000, async () =>
    (await brokers.send('a', 'more')).code === 0 ? true : undefined,
  )
  await brokers.kill('b')
  await until('no slave is there', 30_000, async () =>
    (await brokers.send('a', 'more')).code === 11 ? true : undefined,
  )
  // Whatever was answered, it is stored.
  const pulled = await brokers.pull('a')
  expect(pulled.slice(0, 2)).toEqual(['message 0', 'message 1'])
  expect(pulled).toContain('while it stands still')
})
