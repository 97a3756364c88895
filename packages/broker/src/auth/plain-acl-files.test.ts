/** Which files of ACL 1.0 are read, and in which order they count. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { silentLogger } from '@dledger-ts/base'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ConfigError } from '../config/config.ts'
import { brokerConfig } from '../testing/broker-fixture.ts'
import { readPlainAclFiles } from './plain-acl-files.ts'

let home: string
let told: unknown[]
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'plain-acl-'))
  told = []
})
afterEach(() => rmSync(home, { recursive: true }))

function put(name: string, text: string): void {
  mkdirSync(dirname(join(home, name)), { recursive: true })
  writeFileSync(join(home, name), text)
}
const account = (accessKey: string, secretKey: string) =>
  `accounts:\n- accessKey: ${accessKey}\n  secretKey: ${secretKey}\n`
const read = (keys: Record<string, string> = {}) => {
  const config = brokerConfig(home, { migrateAuthFromV1Enabled: 'true', rocketmqHome: home, ...keys })
  const logger = { ...silentLogger, warn: (fields: object, event: string) => told.push([event, fields]) }
  return readPlainAclFiles(config, logger).map(({ user }) => [user.username, user.password])
}

test('those of conf/acl by name, at any depth, then the plain one; of accounts of one name the first counts', () => {
  put('conf/plain_acl.yml', `${account('a', 'of the plain one')}- accessKey: d\n  secretKey: d\n`)
  put('conf/acl/b.yaml', account('b', 'b'))
  put('conf/acl/c/c.yml', account('b', 'later'))
  put('conf/acl/a.yml', account('a', 'a'))
  put('conf/acl/readme.txt', 'no YAML: [')
  expect(read()).toEqual([
    ['a', 'a'],
    ['b', 'b'],
    ['d', 'd'],
  ])
  expect(told).toEqual([])
})

test('another plain file where that is named, also one of conf/acl, which counts once', () => {
  put('conf/acl/a.yml', account('a', 'a'))
  put('other.yml', account('b', 'b'))
  expect(read({ 'rocketmq.acl.plain.file': 'other.yml' }).map(([name]) => name)).toEqual(['a', 'b'])
  expect(read({ 'rocketmq.acl.plain.file': 'conf/acl/a.yml' }).map(([name]) => name)).toEqual(['a'])
})

test('nothing where that is not asked for; where there is no file that is said', () => {
  put('conf/acl/a.yml', 'no YAML: [')
  expect(read({ migrateAuthFromV1Enabled: 'false' })).toEqual([])
  rmSync(join(home, 'conf'), { recursive: true })
  expect(read()).toEqual([])
  const file = join(home, 'conf/plain_acl.yml')
  expect(told).toEqual([['no accounts are taken over: there is no such file', { file }]])
})

test('what cannot be loaded is named, and so is what is not taken over', () => {
  put('conf/plain_acl.yml', 'accounts:\n- accessKey: a\n')
  expect(() => read()).toThrow(ConfigError)
  expect(() => read()).toThrow(`${join(home, 'conf/plain_acl.yml')} cannot be loaded: account 1 (a) has no secretKey`)
  rmSync(join(home, 'conf/plain_acl.yml'))
  mkdirSync(join(home, 'conf/plain_acl.yml'))
  expect(() => read()).toThrow(/plain_acl.yml cannot be loaded: EISDIR/)
  rmSync(join(home, 'conf/plain_acl.yml'), { recursive: true })
  put('conf/plain_acl.yml', 'globalWhiteRemoteAddresses: [10.0.0.*]')
  expect(read()).toEqual([])
  expect(told).toMatchObject([['not taken over as it stands', { what: expect.stringContaining('10.0.0.*') as string }]])
})
