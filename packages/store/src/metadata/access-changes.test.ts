/** Changes of users and policies while entries wait, expire and are lost: none is made from a view that is older than the log. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Leaderships } from '../testing/leaderships.ts'
import { passes } from '../testing/manual-clock.ts'
import type { AccessEdit } from './access-changes.ts'
import type { AccessUser } from './access-table.ts'
import { ConfigTables } from './config-tables.ts'

let led: Leaderships
beforeEach(() => {
  led = new Leaderships()
})
afterEach(() => led.close())

const USER: AccessUser = { username: 'u', password: 'secret', type: 'Normal', status: 'enable' }

/** Adds an entry to what the user has. */
function adding(resource: string): AccessEdit {
  return ({ policies }) => {
    const present = policies.get('User:u')?.policies[0]?.entries ?? []
    const entry = { resource, actions: ['Pub'], sourceIps: [], decision: 'Allow' } as const
    const policy = { type: 'Custom', entries: [...present, entry] } as const
    return { kind: 'putPolicies', policies: { subject: 'User:u', policies: [policy] } }
  }
}

async function tablesOfLeader(): Promise<{ tables: ConfigTables; resources: () => string[] | undefined }> {
  const tables = new ConfigTables(await led.leader())
  const resources = (): string[] | undefined =>
    tables.access.policies.get('User:u')?.policies[0]?.entries.map(({ resource }) => resource)
  return { tables, resources }
}

/** Told that it was not committed in time; it stays in the log. */
async function expired(change: Promise<void>): Promise<void> {
  await passes(4)
  led.log.expire()
  await expect(change).rejects.toMatchObject({ code: 'TIMEOUT' })
}

test('a change after one whose outcome is not known is made from what that one became', async () => {
  const { tables, resources } = await tablesOfLeader()
  await expired(tables.changeAccess(adding('Topic:A')))
  const next = tables.changeAccess(adding('Topic:B'))
  await passes(4)
  led.log.commit()
  await passes(4)
  led.log.commit()
  await next
  expect(resources()).toEqual(['Topic:A', 'Topic:B'])
  const entries = led.log.entries.length
  const third = tables.changeAccess(adding('Topic:C'))
  await passes(4)
  led.log.commit()
  await third
  expect(led.log.entries.length - entries).toBe(1)
})

test('one that finds nothing to do knows that only when the ones before are applied', async () => {
  const { tables } = await tablesOfLeader()
  await expired(tables.changeAccess(() => ({ kind: 'putUser', user: USER })))
  const seen: boolean[] = []
  const edit: AccessEdit = ({ users }) => {
    seen.push(users.has('u'))
    return null
  }
  const next = tables.changeAccess(edit)
  await passes(4)
  led.log.commit()
  await next
  expect(seen).toEqual([true])
})

test('while it is still not known what became of one, the next is refused as not done, and makes nothing', async () => {
  const { tables, resources } = await tablesOfLeader()
  await expired(tables.changeAccess(adding('Topic:A')))
  const next = tables.changeAccess(adding('Topic:B'))
  await passes(4)
  led.log.expire()
  await expect(next).rejects.toMatchObject({ code: 'BUSY' })
  led.log.commit()
  expect(resources()).toEqual(['Topic:A'])
})

test('a member that does not lead makes none, and does not say that there is nothing to do', async () => {
  const { tables } = await tablesOfLeader()
  led.log.lose(0)
  let edits = 0
  const change = tables.changeAccess(() => {
    edits++
    return null
  })
  await expect(change).rejects.toMatchObject({ code: 'NOT_LEADER' })
  expect(edits).toBe(0)
})
