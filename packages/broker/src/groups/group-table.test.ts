/** Groups that appear: served at once, created beside it, and what is said when that does not succeed. */
import { defaultSubscriptionGroupConfig, StoreError, type SubscriptionGroupConfig } from '@dledger-ts/store'
import { describe, expect, test } from 'vitest'
import { GroupTable } from './group-table.ts'

function table(create: (config: SubscriptionGroupConfig) => Promise<SubscriptionGroupConfig>) {
  const said: [level: string, event: string, code: unknown][] = []
  const at = (level: string) => (fields: Record<string, unknown>, event: string) =>
    said.push([level, event, fields['code']])
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const created: string[] = []
  const store = {
    groups: () => new Map<string, SubscriptionGroupConfig>(),
    isReady: () => true,
    createGroup: (config: SubscriptionGroupConfig) => {
      created.push(config.groupName)
      return create(config)
    },
  }
  return { groups: new GroupTable({ autoCreateSubscriptionGroup: true }, store, logger), said, created }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('a new group', () => {
  test('is served by the defaults while it is created, once', async () => {
    const { groups, said, created } = table(() => new Promise(() => {}))
    for (let i = 0; i < 3; i++) expect(groups.findOrCreate('g')).toEqual(defaultSubscriptionGroupConfig('g'))
    await turn()
    expect([created, said]).toEqual([['g'], []])
  })

  test('that is not created, for the leadership goes, is no error, and is created when it appears again', async () => {
    const lost = new StoreError('this member is not the leader', { code: 'NOT_LEADER', leader: 'n1' })
    const { groups, said, created } = table(() => Promise.reject(lost))
    groups.findOrCreate('g')
    await turn()
    expect(said).toEqual([['info', 'a group was not created yet', 'NOT_LEADER']])
    groups.findOrCreate('g')
    expect(created).toEqual(['g', 'g'])
    await turn()
  })

  test('whose creation breaks is an error', async () => {
    const { groups, said } = table(() => Promise.reject(new TypeError('a bug')))
    groups.findOrCreate('g')
    await turn()
    expect(said).toEqual([['error', 'creating group g failed', undefined]])
  })
})
