/** What becomes of accounts of ACL 1.0: never more than they could do, never a secret in a message. */
import { expect, test } from 'vitest'
import { parsePlainAcl, PlainAclFault } from './plain-acl.ts'
import { CompiledPolicies } from './policies.ts'
import { withPolicies } from './policy-edits.ts'

const SECRET = 'a-secret'

/** Written for these tests; the fields are those of 4.9. */
const FILE = `
globalWhiteRemoteAddresses:
- 10.1.2.*
- 192.168.0.1

accounts:
- accessKey: 12345678
  secretKey: ${SECRET}
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: SUB
  topicPerms:
  - orders=PUB|SUB
  - bills = SUB
  - audit=DENY
  groupPerms:
  # of a group
  - shop=SUB
  - ship=PUB|SUB

- accessKey: root
  secretKey: "${SECRET}"
  whiteRemoteAddress: 192.168.1.*
  admin: true
`

test('accounts become users with the same password, and what they may do policies', () => {
  const { users, warnings } = parsePlainAcl(FILE)
  const entry = (resource: string, decision: 'Allow' | 'Deny', ...actions: string[]) => ({
    resource,
    actions,
    sourceIps: [],
    decision,
  })
  expect(users).toEqual([
    {
      user: { username: '12345678', password: SECRET, type: 'Normal', status: 'enable' },
      policies: {
        subject: 'User:12345678',
        policies: [
          {
            type: 'Custom',
            entries: [
              entry('Topic:orders', 'Allow', 'Pub', 'Sub'),
              entry('Topic:bills', 'Allow', 'Sub'),
              entry('Topic:audit', 'Deny', 'All'),
              entry('Group:shop', 'Allow', 'Sub'),
              entry('Group:ship', 'Allow', 'Pub', 'Sub'),
            ],
          },
          { type: 'Default', entries: [entry('Topic:*', 'Deny', 'All'), entry('Group:*', 'Allow', 'Sub')] },
        ],
      },
    },
    { user: { username: 'root', password: SECRET, type: 'Super', status: 'enable' }, policies: null },
  ])
  expect(warnings).toEqual([
    'globalWhiteRemoteAddresses (10.1.2.*, 192.168.0.1): from there, too, requests must be signed',
    'account 2 (root): whiteRemoteAddress: from there, too, requests must be signed',
  ])
})

test.each([
  ['Topic', 'orders', 'Pub', 'allowed'],
  ['Topic', 'bills', 'Pub', 'denied'],
  ['Topic', 'bills', 'Sub', 'allowed'],
  ['Topic', 'audit', 'Sub', 'denied'],
  ['Topic', 'others', 'Sub', 'denied'],
  ['Group', 'others', 'Sub', 'allowed'],
  ['Group', 'others', 'Update', 'unmatched'],
] as const)('%s %s: %s is %s', (type, name, action, decision) => {
  const policies = parsePlainAcl(FILE).users[0]?.policies
  expect(
    new CompiledPolicies(policies ?? { subject: '', policies: [] }).decide({ type, name, actions: [action] }, '::1'),
  ).toBe(decision)
})

test('what is said of one name is all that counts for it, also where the default is more', () => {
  const { users } = parsePlainAcl(
    account('defaultTopicPerm: PUB|SUB\n  topicPerms: [bills=SUB, orders=PUB|SUB, audit=DENY]'),
  )
  const policies = users[0]?.policies ?? { subject: '', policies: [] }
  expect(policies.policies[0]?.entries.length).toBe(4)
  const added = {
    type: 'Custom',
    entries: [{ resource: 'Topic:x', actions: ['Pub'], sourceIps: [], decision: 'Allow' }],
  } as const
  for (const all of [policies, withPolicies(policies, 'User:somebody', [added])]) {
    const compiled = new CompiledPolicies(all)
    const decide = (name: string, action: 'Pub' | 'Sub') =>
      compiled.decide({ type: 'Topic', name, actions: [action] }, '::1')
    expect([decide('bills', 'Pub'), decide('bills', 'Sub')]).toEqual(['denied', 'allowed'])
    expect([decide('orders', 'Pub'), decide('audit', 'Sub'), decide('others', 'Pub')]).toEqual([
      'allowed',
      'denied',
      'allowed',
    ])
  }
  const { entries } =
    withPolicies(policies, 'User:somebody', [{ ...added, entries: [{ ...added.entries[0], resource: 'Topic:bills' }] }])
      .policies[0] ?? {}
  expect(entries?.filter(({ resource }) => resource === 'Topic:bills')).toMatchObject([{ actions: ['Pub'] }])
})

test.each(['ANY', 'pub', 'PUB,SUB', 'ALL', 'PUB |SUB'])(
  'a permission %s, which 4.9 does not know, denies',
  (permission) => {
    const { users, warnings } = parsePlainAcl(account(`topicPerms: ["T=${permission}"]`))
    expect(users[0]?.policies?.policies[0]?.entries).toMatchObject([{ actions: ['All'], decision: 'Deny' }])
    expect(warnings).toEqual([
      `account 1 (somebody), topicPerms 1: ${permission} on Topic:T is no permission, and denies`,
    ])
  },
)

test.each(['', '# nothing', 'accounts:', 'accounts: []', 'globalWhiteRemoteAddresses:\naccounts:\n'])(
  '%j has none',
  (text) => {
    expect(parsePlainAcl(text)).toEqual({ users: [], warnings: [] })
  },
)

test.each([
  ['no YAML', `accounts:\n- accessKey: [${SECRET}\n  secretKey: ${SECRET}`, /^line \d is no YAML \([A-Z_]+\)$/],
  ['a key that stands twice', `accounts: []\naccounts: [${SECRET}]`, /^line 2 is no YAML \(DUPLICATE_KEY\)$/],
  ['no map', `- ${SECRET}`, /^the file is no map$/],
  ['no list', `accounts: ${SECRET}`, /^accounts of the file is no list$/],
  ['a list of something else', `accounts: [${SECRET}]`, /^account 1 is no map$/],
  ['no name', `accounts:\n- secretKey: ${SECRET}`, /^account 1 has no accessKey/],
  ['no password', 'accounts:\n- accessKey: somebody\n  secretKey:', /^account 1 \(somebody\) has no secretKey$/],
  [
    'a password that is none',
    `accounts:\n- accessKey: a\n  secretKey: [${SECRET}]`,
    /^secretKey of account 1 is no text$/,
  ],
  ['a permission without a name', account(`topicPerms: ["${SECRET}"]`), /topicPerms 1 is not of the form/],
  ['one with too much', account(`groupPerms: ["a=SUB", "${SECRET}=PUB=SUB"]`), /groupPerms 2 is not of the form/],
  ['a topic of all names', account('topicPerms: ["*=PUB"]'), /topicPerms 1: /],
  ['a group of many names', account('groupPerms: ["a*=SUB"]'), /groupPerms 1: /],
  [
    'too many entries',
    account(`topicPerms: [${Array.from({ length: 1_001 }, (_, i) => `T${i}=PUB`).join()}]`),
    /1001 permissions/,
  ],
  ['aliases of aliases', bomb(), /^its aliases cannot be resolved$/],
])('%s is refused, without a secret', (_name, text, message) => {
  let refused: unknown
  try {
    parsePlainAcl(text)
  } catch (error) {
    refused = error
  }
  expect(refused).toBeInstanceOf(PlainAclFault)
  expect((refused as Error).message).toMatch(message)
  expect((refused as Error).message).not.toContain(SECRET)
})

function account(more: string): string {
  return `accounts:\n- accessKey: somebody\n  secretKey: ${SECRET}\n  ${more}\n`
}

function bomb(): string {
  const levels = Array.from(
    { length: 12 },
    (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}, *a${i}, *a${i}, *a${i}]`,
  )
  return ['a0: &a0 [x]', ...levels].join('\n')
}
