/** The configuration: defaults, bad values with their names, unknown keys with a hint, and the members of a group. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { ConfigError, describeKeys, parseConfig, printConfig } from './config.ts'
import { CONFIG_KEYS, IGNORED_KEYS } from './keys.ts'

const environment = { homeDirectory: '/home/q', hostName: 'box', address: '10.1.2.3' }
const parse = (input: Record<string, string>) => parseConfig(input, environment)

describe('defaults', () => {
  test('an empty file is a group of one under the home directory', () => {
    const { config, warnings } = parse({})
    expect(warnings).toEqual([])
    expect(config).toMatchObject({
      brokerName: 'box',
      brokerIP1: '10.1.2.3',
      listenPort: 10911,
      storePathRootDir: '/home/q/store',
      storePathCommitLog: '/home/q/store/commitlog',
      peers: [],
      selfId: 'n0',
      slaveId: 1,
      group: 'box',
    })
  })

  test('the defaults that differ from those of Apache', () => {
    expect(parse({}).config).toMatchObject({
      flushDiskType: 'SYNC_FLUSH',
      slaveReadEnable: true,
      raftTickMs: 50,
      raftHeartbeatMs: 100,
      raftElectionTimeoutMs: 500,
    })
  })
})

describe('members', () => {
  const group = { enableDLegerCommitLog: 'true', brokerName: 'b', dLegerSelfId: 'n1' }

  test('the id ends at the first dash, the host at the last colon', () => {
    const { config } = parse({ ...group, dLegerPeers: 'n0-my-host:40911;n1-::1:40912; n2-10.0.0.1:40913 ;' })
    expect(config.peers).toEqual([
      { id: 'n0', host: 'my-host', port: 40911 },
      { id: 'n1', host: '::1', port: 40912 },
      { id: 'n2', host: '10.0.0.1', port: 40913 },
    ])
    expect(config.slaveId).toBe(2)
  })

  test('peers are not read while enableDLegerCommitLog is false', () => {
    expect(parse({ dLegerPeers: 'nonsense' }).config.peers).toEqual([])
  })

  const bad: { name: string; peers: string; message: RegExp }[] = [
    { name: 'no dash', peers: 'n1:40911', message: /'n1:40911' is not ID-HOST:PORT/ },
    { name: 'no port', peers: 'n1-host', message: /'n1-host' is not ID-HOST:PORT/ },
    { name: 'a port that is no number', peers: 'n1-host:4o911', message: /has no port from 1 to 65535/ },
    { name: 'an id without a number', peers: 'nx-host:1', message: /'nx' is not letters and a number/ },
    { name: 'one number twice', peers: 'n1-a:1;m1-b:1', message: /'m1-b:1' has the same number as n1/ },
    { name: 'one address twice', peers: 'n1-a:1;n2-a:1', message: /'n2-a:1' has the address of another member/ },
    {
      name: 'this member is missing',
      peers: 'n0-a:1;n2-a:2',
      message: /dLegerSelfId=n1: allowed is one of dLegerPeers: n0, n2/,
    },
  ]
  test.each(bad)('refused: $name', ({ peers, message }) => {
    expect(() => parse({ ...group, dLegerPeers: peers })).toThrow(message)
  })
})

describe('bad values', () => {
  const rows: { given: Record<string, string>; key: string; message: string | RegExp }[] = [
    {
      given: { listenPort: '70000' },
      key: 'listenPort',
      message: 'listenPort=70000: allowed is a whole number from 0 to 65535',
    },
    { given: { listenPort: '' }, key: 'listenPort', message: /allowed is a whole number/ },
    { given: { listenPort: '1e3' }, key: 'listenPort', message: /allowed is a whole number/ },
    { given: { listenPort: '2' }, key: 'listenPort', message: /listenPort - 2 is opened too/ },
    { given: { autoCreateTopicEnable: 'yes' }, key: 'autoCreateTopicEnable', message: /true or false/ },
    {
      given: { flushDiskType: 'SYNC' },
      key: 'flushDiskType',
      message: 'flushDiskType=SYNC: allowed is SYNC_FLUSH, ASYNC_FLUSH',
    },
    { given: { mappedFileSizeConsumeQueue: '21' }, key: 'mappedFileSizeConsumeQueue', message: /multiple of 20/ },
    { given: { mappedFileSizeCommitLog: '65536' }, key: 'mappedFileSizeCommitLog', message: /maxMessageSize/ },
    {
      given: { raftElectionTimeoutMs: '200' },
      key: 'raftElectionTimeoutMs',
      message: /3 x raftHeartbeatMs \(300 ms\)/,
    },
    { given: { raftHeartbeatMs: '20' }, key: 'raftHeartbeatMs', message: /raftTickMs \(50 ms\)/ },
    { given: { namesrvAddr: 'localhost' }, key: 'namesrvAddr', message: /'localhost' is not/ },
    { given: { brokerIP1: '::1' }, key: 'brokerIP1', message: /IPv4/ },
    { given: { brokerRole: 'SLAVE', enableDLegerCommitLog: 'true' }, key: 'brokerRole', message: /dLegerPeers/ },
    { given: { brokerRole: 'MASTER' }, key: 'brokerRole', message: /is ASYNC_MASTER, SYNC_MASTER, SLAVE$/ },
    {
      given: { brokerRole: 'SLAVE', brokerId: '0', namesrvAddr: 'h:1' },
      key: 'brokerId',
      message: /brokerId=0: .*from 1 on/,
    },
    {
      given: { brokerRole: 'SLAVE', brokerId: '1', namesrvAddr: '' },
      key: 'namesrvAddr',
      message: /its master is found there/,
    },
    {
      given: { brokerRole: 'ASYNC_MASTER', haListenPort: '10909' },
      key: 'haListenPort',
      message: /differs from 10911/,
    },
    { given: { brokerIP2: 'a:1' }, key: 'brokerIP2', message: /IPv4/ },
    { given: { dLegerSelfId: 'leader' }, key: 'dLegerSelfId', message: /letters and a number/ },
    {
      given: { 'tls.server.mode': 'on' },
      key: 'tls.server.mode',
      message: 'tls.server.mode=on: allowed is disabled, permissive, enforcing',
    },
    { given: { regionId: 'a\u0001b\u0002' }, key: 'regionId', message: /letters, digits and \. _ -, at most 127/ },
    { given: { regionId: 'r'.repeat(128) }, key: 'regionId', message: /at most 127/ },
    { given: { brokerName: 'a b' }, key: 'brokerName', message: /letters, digits/ },
  ]
  test.each(rows)('$given names its key', ({ given, key, message }) => {
    expect(() => parse(given)).toThrow(message)
    try {
      parse(given)
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
      expect((error as ConfigError).detail).toMatchObject({ code: 'INVALID_CONFIG', key, value: given[key] ?? '' })
    }
  })
})

test('an unknown key is a warning with the nearest known one, a key of Apache without effect says so', () => {
  const { warnings } = parse({ listenport: '1', dLedgerPeers: 'x', duplicationEnable: 'true', 'my.own.key': '1' })
  expect(warnings[0]).toBe('listenport=1 is not a known key; the nearest is listenPort')
  expect(warnings[1]).toBe('dLedgerPeers=x is not a known key; the nearest is dLegerPeers')
  expect(warnings[2]).toBe("duplicationEnable=true is a key of Apache's broker that changes nothing here")
  expect(warnings[3]).toMatch(/^my\.own\.key=1 is not a known key; the nearest is /)
})

test('a master, a slave, and brokers that are neither', () => {
  const classicOf = (given: Record<string, string>) => parse(given).config.classic
  expect([classicOf({}), classicOf({ brokerRole: 'ASYNC_MASTER' }), classicOf({ brokerRole: 'SYNC_MASTER' })]).toEqual([
    null,
    'master',
    'master',
  ])
  // In a group that elects the role has no meaning, as in Apache's.
  const group = { enableDLegerCommitLog: 'true', dLegerPeers: 'n0-h:1', dLegerSelfId: 'n0' }
  expect([classicOf({ ...group, brokerRole: 'SLAVE' }), classicOf({ ...group, brokerId: '-1' })]).toEqual([null, null])
  const slave = parse({ brokerRole: 'SLAVE', brokerId: '3', namesrvAddr: 'h:1', brokerIP1: '10.0.0.1' }).config
  expect(slave).toMatchObject({ classic: 'slave', slaveId: 3, brokerIP2: '10.0.0.1' })
  expect(parse({ brokerRole: 'ASYNC_MASTER', brokerId: '1' }).warnings).toEqual([
    'brokerId=1 does not count with brokerRole=ASYNC_MASTER: a master is 0',
  ])
})

test('what is printed is read back as the same configuration', () => {
  const { config } = parse({
    enableDLegerCommitLog: 'true',
    dLegerPeers: 'n0-h:1;n3-h:2',
    dLegerSelfId: 'n3',
    listenPort: '30911',
  })
  const printed: Record<string, string> = {}
  for (const line of printConfig(config).trimEnd().split('\n')) {
    const at = line.indexOf('=')
    printed[line.slice(0, at)] = line.slice(at + 1)
  }
  expect(parseConfig(printed, { homeDirectory: '', hostName: 'other', address: 'other' }).config).toEqual(config)
})

test('passwords are not printed', () => {
  const printed = printConfig(parse({ 'tls.server.keyPassword': 'sesame', 'tls.client.keyPassword': 'sesame' }).config)
  expect(printed).toContain('tls.server.keyPassword=******\n')
  expect(printed).not.toContain('sesame')
})

test('every key is described once and none is both known and ignored', () => {
  expect(describeKeys().trimEnd().split('\n')).toHaveLength(Object.keys(CONFIG_KEYS).length)
  expect(IGNORED_KEYS.filter((key) => key in CONFIG_KEYS)).toEqual([])
})

test('docs/operations.md has every key with what is allowed, its default and its sentence', () => {
  const path = fileURLToPath(new URL('../../../../docs/operations.md', import.meta.url))
  const rows = new Map<string, string[]>()
  const [chapter = ''] = readFileSync(path, 'utf8').split('## Keys of the broker\n').slice(1)
  for (const line of (chapter.split('\n## ')[0] ?? '').split('\n')) {
    const [, key, allowed, byDefault, what] = line.split('|').map((cell) => cell.trim())
    if (key?.startsWith('`') === true) rows.set(key.replaceAll('`', ''), [allowed ?? '', byDefault ?? '', what ?? ''])
  }
  for (const line of describeKeys().trimEnd().split('\n')) {
    const [, key, allowed, byDefault, what] = /^([\w.]+) \((.*); default (.*?)\): (.*)$/.exec(line) ?? []
    const shown = byDefault === '""' ? '–' : `\`${JSON.parse(byDefault ?? '') as string}\``
    expect(rows.get(key ?? '')).toEqual([allowed?.replace('a whole number from ', ''), shown, what])
  }
})

describe('users and policies', () => {
  const user = '{"username":"root","password":"the password"}'

  test.each([
    ['aclEnable', { aclEnable: 'true' }, /authenticationEnabled=true and authorizationEnabled=true.*migrateAuthFromV1/],
    ['aclEnable', { aclEnable: 'true', authenticationEnabled: 'true' }, /authorizationEnabled=true, which do its work/],
    ['migrateAuthFromV1Enabled', { migrateAuthFromV1Enabled: 'true' }, /rocketmqHome with it/],
    ['authorizationEnabled', { authorizationEnabled: 'true' }, /authenticationEnabled=true with it/],
    ['authenticationWhitelist', { authenticationWhitelist: '10,ten' }, /codes of requests/],
    ['authorizationWhitelist', { authorizationWhitelist: '-1' }, /codes of requests/],
    ['initAuthenticationUser', { initAuthenticationUser: `${user}}` }, /neither of them empty/],
    ['initAuthenticationUser', { initAuthenticationUser: '{"username":"the password"}' }, /neither of them empty/],
    ['innerClientAuthenticationCredentials', { innerClientAuthenticationCredentials: user }, /"accessKey"/],
  ])(
    '%s that would not do what it says is refused, without a secret',
    (key, input: Record<string, string>, message) => {
      const refused = errorOf(() => parse(input))
      expect(refused).toMatchObject({ detail: { key } })
      expect(refused.message).toMatch(message)
      expect(refused.message + JSON.stringify(refused.detail)).not.toContain('the password')
    },
  )

  test('the switches of a broker of 4.x are taken beside those that do their work', () => {
    const switches = { aclEnable: 'true', authenticationEnabled: 'true', authorizationEnabled: 'true' }
    const { config, warnings } = parse({ ...switches, migrateAuthFromV1Enabled: 'true', rocketmqHome: '/opt/rocketmq' })
    expect(config).toMatchObject({ authorizationEnabled: true, migrateAuthFromV1Enabled: true })
    expect(warnings).toEqual([])
  })

  test('secrets are not printed', () => {
    const printed = printConfig(parse({ initAuthenticationUser: user }).config)
    expect(printed).toContain('initAuthenticationUser=******\n')
    expect(printed).toContain('innerClientAuthenticationCredentials=\n')
    expect(printed).not.toContain('the password')
    expect(parse({ initAuthenticationUsers: user }).warnings.join()).toMatch(/^initAuthenticationUsers=\*{6} is not a/)
  })
})

function errorOf(run: () => void): ConfigError {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('it was taken')
}
