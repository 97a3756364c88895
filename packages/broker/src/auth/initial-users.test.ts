/** The users that the configuration names: made once, and left as they are. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
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
async function live(edit: AccessEdit, more: Record<string, string> = {}, count = 2): Promise<AccessUser[]> {
  const broker = new Broker(brokerConfig(directory, { ...KEYS, ...more }))
  try {
    await broker.start()
    await broker.store?.whenSettled()
    const { store } = broker
    assert(store !== null, 'it is open')
    // Each time behind one more of those of the configuration.
    while (store.access().users.size < count) await store.changeAccess(() => null)
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

test('accounts of ACL 1.0 are taken over with their policies, and what was changed of them stays', async () => {
  await mkdir(join(directory, 'home/conf'), { recursive: true })
  const file = join(directory, 'home/conf/plain_acl.yml')
  const accounts = `accounts:
- {accessKey: root, secretKey: of the file, admin: 'false', topicPerms: [T=PUB]}
- {accessKey: shop, secretKey: its own, topicPerms: [orders=PUB]}
`
  await writeFile(file, accounts)
  const keys = { migrateAuthFromV1Enabled: 'true', rocketmqHome: join(directory, 'home') }
  const shop: AccessUser = { username: 'shop', password: 'its own', type: 'Normal', status: 'enable' }
  const entries = [{ resource: 'Topic:orders', actions: ['Pub'], sourceIps: [], decision: 'Allow' }]
  const seen: unknown[] = []
  const look: AccessEdit = ({ policies }) => {
    seen.push([...policies.values()])
    return null
  }
  expect(await live(look, keys, 3)).toEqual([inner, root, shop])
  expect(seen).toEqual([[{ subject: 'User:shop', policies: [{ type: 'Custom', entries }] }]])
  const changed: AccessUser = { ...shop, password: 'another' }
  await live(() => ({ kind: 'putUser', user: changed }), keys, 3)
  await live(() => ({ kind: 'deletePolicies', subject: 'User:shop' }), keys, 3)
  seen.length = 0
  expect(await live(look, keys, 3)).toEqual([inner, root, changed])
  expect(seen).toEqual([[]])
})

test('a file that cannot be loaded stops the start', async () => {
  await mkdir(join(directory, 'conf'))
  await writeFile(join(directory, 'conf/plain_acl.yml'), 'accounts: none')
  const keys = { migrateAuthFromV1Enabled: 'true', rocketmqHome: directory }
  expect(() => new Broker(brokerConfig(directory, keys))).toThrow(
    /plain_acl.yml cannot be loaded: accounts of the file is no list/,
  )
})
