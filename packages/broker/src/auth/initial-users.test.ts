/** The users that the configuration names: made once, and left as they are. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from '@dledger-ts/base'
import type { AccessEdit, AccessUser } from '@dledger-ts/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Broker } from '../broker.ts'
import { brokerConfig } from '../testing/broker-fixture.ts'

const KEYS = {
  initAuthenticationUser: '{"username":"root","password":"first"}',
  innerClientAuthenticationCredentials: '{"accessKey":"inner","secretKey":"own"}',
}
const root: AccessUser = { username: 'root', password: 'first', type: 'Super', status: 'enable' }
const inner: AccessUser = { username: 'inner', password: 'own', type: 'Super', status: 'enable' }

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'initial-users-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** A life of the broker that ends with this edit. @returns the users that it began with, by name. */
async function live(edit: AccessEdit): Promise<AccessUser[]> {
  const broker = new Broker(brokerConfig(directory, KEYS))
  try {
    await broker.start()
    await broker.store?.whenSettled()
    const { store } = broker
    assert(store !== null, 'it is open')
    // Each time behind one more of those of the configuration.
    while (store.access().users.size < 2) await store.changeAccess(() => null)
    await store.changeAccess(() => null)
    const users = [...store.access().users.values()].sort((one, other) => (one.username < other.username ? -1 : 1))
    await store.changeAccess(edit)
    return users
  } finally {
    await broker.close()
  }
}

test('they are made at first, keep what was changed of them, and are made again where they are gone', async () => {
  const changed: AccessUser = { ...root, password: 'second' }
  expect(await live(() => ({ kind: 'putUser', user: changed }))).toEqual([inner, root])
  expect(await live(() => ({ kind: 'deleteUser', username: 'inner' }))).toEqual([inner, changed])
  expect(await live(() => null)).toEqual([inner, changed])
})
