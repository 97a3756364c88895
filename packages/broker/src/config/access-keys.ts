/**
 * Apache's keys for who may do what, as settings.
 *
 * Keeps: what would leave a broker open that looks closed is refused; secrets stand in no message.
 *
 * Source: org.apache.rocketmq.auth.config.AuthConfig, AuthenticationMetadataManagerImpl.initUser.
 */
import type { Credentials } from '@dledger-ts/remoting'
import { isAccessName } from '@dledger-ts/store'
import type { AccessSettings } from '../auth/access-control.ts'
import type { ConfigValues } from './keys.ts'

export interface InitialUser {
  readonly username: string
  readonly password: string
}

interface Fault {
  readonly key: string
  readonly value: string
  readonly allowed: string
}

const SECRET = '******'

/** @returns what is wrong with these keys; undefined when nothing is. */
export function accessKeyFault(config: ConfigValues): Fault | undefined {
  const { authenticationWhitelist, authorizationWhitelist } = config
  if (config.aclEnable && !(config.authenticationEnabled && config.authorizationEnabled)) {
    const allowed =
      'false, or with it authenticationEnabled=true and authorizationEnabled=true, which do its work here; ' +
      'migrateAuthFromV1Enabled=true takes over the accounts of plain_acl.yml'
    return { key: 'aclEnable', value: 'true', allowed }
  }
  if (config.migrateAuthFromV1Enabled && config.rocketmqHome === '') {
    const allowed =
      'false, or rocketmqHome with it (or the environment variable ROCKETMQ_HOME): where conf/plain_acl.yml is'
    return { key: 'migrateAuthFromV1Enabled', value: 'true', allowed }
  }
  if (config.authorizationEnabled && !config.authenticationEnabled) {
    const allowed = 'false, or authenticationEnabled=true with it: else anybody could take any name'
    return { key: 'authorizationEnabled', value: 'true', allowed }
  }
  for (const [key, value] of Object.entries({ authenticationWhitelist, authorizationWhitelist })) {
    if (parseCodes(value) === undefined) return { key, value, allowed: 'codes of requests, like 105,34' }
  }
  if (
    config.initAuthenticationUser !== '' &&
    parsePair(config.initAuthenticationUser, 'username', 'password') === null
  ) {
    const allowed = '{"username":"…","password":"…"}, neither of them empty'
    return { key: 'initAuthenticationUser', value: SECRET, allowed }
  }
  if (config.innerClientAuthenticationCredentials !== '' && innerCredentials(config) === null) {
    const allowed = '{"accessKey":"…","secretKey":"…"}, neither of them empty'
    return { key: 'innerClientAuthenticationCredentials', value: SECRET, allowed }
  }
  return undefined
}

/** @param config checked. */
export function accessSettings(config: ConfigValues): AccessSettings {
  return {
    authenticationEnabled: config.authenticationEnabled,
    authorizationEnabled: config.authorizationEnabled,
    authenticationWhitelist: parseCodes(config.authenticationWhitelist) ?? new Set(),
    authorizationWhitelist: parseCodes(config.authorizationWhitelist) ?? new Set(),
    clusterName: config.brokerClusterName,
  }
}

/** Super users that there shall be. @param config checked. */
export function initialUsers(config: ConfigValues): InitialUser[] {
  const users: InitialUser[] = []
  const first = parsePair(config.initAuthenticationUser, 'username', 'password')
  if (first !== null) users.push({ username: first[0], password: first[1] })
  const inner = innerCredentials(config)
  if (inner !== null) users.push({ username: inner.accessKey, password: inner.secretKey })
  return users
}

/** What this broker signs with; null: it does not. @param config checked. */
export function innerCredentials(config: ConfigValues): Credentials | null {
  const pair = parsePair(config.innerClientAuthenticationCredentials, 'accessKey', 'secretKey')
  return pair === null ? null : { accessKey: pair[0], secretKey: pair[1] }
}

/** @returns undefined where one is none. */
function parseCodes(text: string): Set<number> | undefined {
  const codes = new Set<number>()
  for (const part of text.split(',')) {
    const code = part.trim()
    if (code === '') continue
    if (!/^\d{1,9}$/.test(code)) return undefined
    codes.add(Number(code))
  }
  return codes
}

function parsePair(text: string, name: string, secret: string): [string, string] | null {
  let value: unknown
  try {
    value = text === '' ? null : JSON.parse(text)
  } catch {
    // The reason would show what the text has.
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { [name]: first, [secret]: second } = value as Record<string, unknown>
  return isAccessName(first) && typeof second === 'string' && second.trim() !== '' ? [first, second] : null
}
