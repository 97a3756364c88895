/** A master by configuration: its address in the log, other masters, slaves that are gone. */
import { silentLogger } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { ManualClock } from '../testing/manual-clock.ts'
import { GONE_MS, MasterWatch } from './master-watch.ts'
import type { MasterAnswer } from './masters.ts'

const PERIOD_MS = 30_000

/** A master of which name servers list others, who answer so. */
function watched(answers: Readonly<Record<string, string>> = {}) {
  const clock = new ManualClock()
  const said: string[] = []
  const slaves = [{ id: 's1', address: 'h:1', isConnected: true, heldIndex: 0 }]
  let ownAddress: string | null = null
  const copies = {
    standing: () => ({
      id: 'n0',
      storeId: 'own',
      masterStore: 'own',
      lastIndex: 9,
      lastTerm: 1,
      commitIndex: 9,
      commitTerm: 1,
      isGuessed: false,
    }),
    get ownAddress() {
      return ownAddress
    },
    setOwnAddress: (address: string) => {
      ownAddress = address
      said.push(`own address ${address}`)
      return Promise.resolve()
    },
    slaves: () => slaves,
    remove: (id: string) => {
      said.push(`removed ${id}`)
      return said.length > 1 ? Promise.resolve() : Promise.reject(new Error('it does not lead'))
    },
    outdated: (why: string) => void said.push(`outdated: ${why}`),
  }
  const answerOf = (address: string): MasterAnswer => ({
    verdict: answers[address] ?? '',
    lastIndex: 7,
    memberId: 's1',
    storeId: 'theirs',
    haAddress: 'h:2',
    address,
  })
  const watch = new MasterWatch({
    brokerName: 'b',
    store: { copies, isReady: () => true } as unknown as ConstructorParameters<typeof MasterWatch>[0]['store'],
    masters: {
      find: () => Promise.resolve(Object.keys(answers)),
      ask: (address) => Promise.resolve(answerOf(address)),
      close: () => {},
    },
    haAddress: '10.0.0.1:10912',
    periodMs: PERIOD_MS,
    clock,
    logger: silentLogger,
  })
  const look = async () => {
    clock.advance(PERIOD_MS)
    for (let i = 0; i < 20; i++) await Promise.resolve()
  }
  return { watch, said, slaves, look }
}

test('says where slaves reach it as soon as it leads, once', async () => {
  const { watch, said } = watched()
  watch.roleChanged()
  watch.roleChanged()
  await Promise.resolve()
  watch.roleChanged()
  expect(said).toEqual(['own address 10.0.0.1:10912'])
})

test('ends when another copy was made the master, and not for others of its name', async () => {
  expect(await watched({ 'x:1': 'FOREIGN' }).watch.whyReplaced()).toBeNull()
  const { watch, said, look } = watched({ 'x:1': 'FOREIGN', 'y:1': 'REPLACED' })
  expect(await watch.whyReplaced()).toMatch(/the broker at y:1 was made the master of b: .* up to entry 7$/)
  watch.start()
  await look()
  expect(said).toMatchObject([expect.stringMatching(/^outdated: the broker at y:1/)])
})

test('forgets a slave that is gone for an hour, and not one that came again', async () => {
  const { watch, said, slaves, look } = watched()
  watch.start()
  const slave = slaves[0] as { isConnected: boolean }
  const periods = GONE_MS / PERIOD_MS
  for (let i = 0; i < periods; i++) await look()
  slave.isConnected = false
  for (let i = 0; i < periods - 1; i++) await look()
  slave.isConnected = true
  await look()
  slave.isConnected = false
  for (let i = 0; i < periods; i++) await look()
  expect(said).toEqual([])
  await look()
  expect(said).toEqual(['removed s1'])
  // That failed, and is tried again.
  await look()
  expect(said).toEqual(['removed s1', 'removed s1'])
})
