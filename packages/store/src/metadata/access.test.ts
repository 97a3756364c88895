/** Users and policies: changed one after another, kept over restarts, and refused where they are none. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OpenedStores } from '../testing/opened-stores.ts'
import type { AccessChange } from './access-changes.ts'
import { type AccessEntry, type AccessPolicies, type AccessUser, subjectOf } from './access-table.ts'
import { decodeChange, encodeChange } from './change.ts'

let stores: OpenedStores
beforeEach(() => {
  stores = new OpenedStores()
})
afterEach(() => stores.close())

const USER: AccessUser = { username: 'u', password: 'secret', type: 'Normal', status: 'enable' }
const ENTRY: AccessEntry = { resource: 'Topic:T', actions: ['Pub'], sourceIps: ['10.0.0.0/8'], decision: 'Allow' }
const POLICIES: AccessPolicies = { subject: 'User:u', policies: [{ type: 'Custom', entries: [ENTRY] }] }

test('each change is made from what the one before has left', async () => {
  const store = await stores.open()
  await store.changeAccess(() => ({ kind: 'putPolicies', policies: { subject: 'User:u', policies: [] } }))
  const add = (resource: string) =>
    store.changeAccess(({ policies }) => {
      const entries = policies.get('User:u')?.policies[0]?.entries ?? []
      const policy = { type: 'Custom', entries: [...entries, { ...ENTRY, resource }] } as const
      return { kind: 'putPolicies', policies: { subject: 'User:u', policies: [policy] } }
    })
  const failing = store.changeAccess(() => {
    throw new Error('not so')
  })
  await Promise.all([add('Topic:A'), add('Topic:B'), expect(failing).rejects.toThrow('not so'), add('Topic:C')])
  const entries = store.access().policies.get('User:u')?.policies[0]?.entries
  expect(entries?.map(({ resource }) => resource)).toEqual(['Topic:A', 'Topic:B', 'Topic:C'])
})

test('an edit that wants nothing adds nothing to the log', async () => {
  const store = await stores.open()
  const { lastIndex } = store.status()
  await store.changeAccess(() => null)
  expect(store.status().lastIndex).toBe(lastIndex)
})

test('a user goes with its policies; both are kept over restarts', async () => {
  const store = await stores.open()
  const change = (one: AccessChange) => store.changeAccess(() => one)
  await change({ kind: 'putUser', user: USER })
  await change({ kind: 'putUser', user: { ...USER, username: 'other' } })
  await change({ kind: 'putPolicies', policies: POLICIES })
  await change({ kind: 'putPolicies', policies: { ...POLICIES, subject: subjectOf('other') } })
  await change({ kind: 'deleteUser', username: 'other' })
  await change({ kind: 'putPolicies', policies: { ...POLICIES, subject: 'User:third' } })
  await change({ kind: 'deletePolicies', subject: 'User:third' })
  const check = (opened: typeof store): void => {
    expect([...opened.access().users.values()]).toEqual([USER])
    expect([...opened.access().policies.values()]).toEqual([POLICIES])
  }
  check(store)
  await store.close()
  const again = await stores.open()
  check(again)
})

test.each<[string, AccessChange]>([
  ['without a name', { kind: 'putUser', user: { ...USER, username: '' } }],
  ['with a name that ends a key', { kind: 'putUser', user: { ...USER, username: 'a\0b' } }],
  ['without a password', { kind: 'putUser', user: { ...USER, password: '' } }],
  ['of another type', { kind: 'putUser', user: { ...USER, type: 'super' as 'Super' } }],
  ['that decides otherwise', policiesWith({ decision: 'Maybe' as 'Deny' })],
  ['whose actions are none', policiesWith({ actions: [1] as unknown as string[] })],
])('a change %s is refused, and tells no password', async (_name, change) => {
  const store = await stores.open()
  const { lastIndex } = store.status()
  const refused: unknown = await store.changeAccess(() => change).catch((error: unknown) => error)
  expect(refused).toMatchObject({ code: 'INVALID' })
  expect(JSON.stringify(refused) + String(refused)).not.toContain(USER.password)
  expect(store.status().lastIndex).toBe(lastIndex)
  expect(() => decodeChange(encodeChange(change), 0)).toThrow('unknown shape')
})

function policiesWith(more: Partial<AccessEntry>): AccessChange {
  const policies = [{ type: 'Custom', entries: [{ ...ENTRY, ...more }] }] as const
  return { kind: 'putPolicies', policies: { subject: 'User:u', policies } }
}
