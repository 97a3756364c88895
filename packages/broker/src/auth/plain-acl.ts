/**
 * Accounts of ACL 1.0 (`plain_acl.yml` of RocketMQ 4.x) as users and policies.
 *
 * Keeps:
 *   - nobody may do more than there: a permission that 4.9 does not know denies, as it does there (Apache's migration allows everything then);
 *   - what 4.9 refuses to load is refused, with the place and without a secret;
 *   - addresses that 4.9 let in unsigned are no part of what is taken over.
 *
 * Source: AuthMigrator, PlainPermissionManager; of 4.9 Permission and PlainPermissionManager.
 */
import { createRequire } from 'node:module'
import { groupNameError, topicNameError } from '@dledger-ts/protocol'
import {
  type AccessEntry,
  type AccessPolicies,
  type AccessPolicy,
  type AccessUser,
  isAccessName,
  subjectOf,
} from '@dledger-ts/store'
import { ENTRIES_MAX } from './policy-edits.ts'

/** Its 70 modules take 50 ms, which a start that takes over no accounts is spared. */
const requireModule = createRequire(import.meta.url)

/** A user that there shall be, with all that it may do beside what everybody may. */
export interface WantedUser {
  readonly user: AccessUser
  readonly policies: AccessPolicies | null
}

export interface PlainAcl {
  readonly users: readonly WantedUser[]
  /** What is not taken over as it stands: for people. */
  readonly warnings: readonly string[]
}

/** It cannot be loaded; the message says where, and no value that may be a secret. */
export class PlainAclFault extends Error {}

type Fields = Readonly<Record<string, unknown>>
/** What permissions are for, with the check of its names. */
const RESOURCES = [
  { type: 'Topic', nameError: topicNameError },
  { type: 'Group', nameError: groupNameError },
] as const
/** Aliases in a file mean nothing here; a few do no harm. */
const ALIASES_MAX = 100
/** What YAML 1.1, which 4.x reads, takes for true. */
const TRUE = /^(true|yes|on)$/i

/** @throws PlainAclFault. */
export function parsePlainAcl(text: string): PlainAcl {
  const file = contentOf(text)
  const warnings: string[] = []
  const white = textsIn(file, 'globalWhiteRemoteAddresses', 'the file')
  if (white.length > 0)
    warnings.push(`globalWhiteRemoteAddresses (${white.join(', ')}): from there, too, requests must be signed`)
  const users = listIn(file, 'accounts', 'the file').map((account, i) =>
    wantedUser(account, `account ${i + 1}`, warnings),
  )
  return { users, warnings }
}

function wantedUser(account: unknown, where: string, warnings: string[]): WantedUser {
  if (!isFields(account)) throw new PlainAclFault(`${where} is no map`)
  const username = textIn(account, 'accessKey', where)
  const password = textIn(account, 'secretKey', where)
  if (!isAccessName(username))
    throw new PlainAclFault(`${where} has no accessKey, or one that is too long or of controls`)
  if (password.trim() === '') throw new PlainAclFault(`${where} (${username}) has no secretKey`)
  const named = `${where} (${username})`
  const isAdmin = TRUE.test(textIn(account, 'admin', named))
  if (textIn(account, 'whiteRemoteAddress', named) !== '')
    warnings.push(`${named}: whiteRemoteAddress: from there, too, requests must be signed`)
  const user: AccessUser = { username, password, type: isAdmin ? 'Super' : 'Normal', status: 'enable' }
  return { user, policies: policiesIn(account, named, username, warnings) }
}

function policiesIn(account: Fields, where: string, username: string, warnings: string[]): AccessPolicies | null {
  const custom: AccessEntry[] = []
  const fallback: AccessEntry[] = []
  for (const { type, nameError } of RESOURCES) {
    const byDefault = textIn(account, `default${type}Perm`, where)
    const ofAll = byDefault === '' ? null : entryOf(`${type}:*`, byDefault, where, warnings)
    if (ofAll !== null) fallback.push(ofAll)
    const key = `${type.toLowerCase()}Perms`
    for (const [i, text] of textsIn(account, key, where).entries()) {
      const at = `${where}, ${key} ${i + 1}`
      const [name = '', permission = '', ...more] = text.split('=').map((part) => part.trim())
      if (name === '' || permission === '' || more.length > 0) {
        throw new PlainAclFault(`${at} is not of the form name=PERMISSION`)
      }
      const wrong = nameError(name)
      // An asterisk would mean more here than it does there.
      if (wrong !== undefined) throw new PlainAclFault(`${at}: ${wrong}`)
      const entry = entryOf(`${type}:${name}`, permission, at, warnings)
      custom.push(...deniedBeside(entry, ofAll), entry)
    }
  }
  const policies: AccessPolicy[] = []
  if (custom.length > 0) policies.push({ type: 'Custom', entries: custom })
  if (fallback.length > 0) policies.push({ type: 'Default', entries: fallback })
  const count = custom.length + fallback.length
  if (count > ENTRIES_MAX) throw new PlainAclFault(`${where} has ${count} permissions, ${ENTRIES_MAX} are allowed`)
  return policies.length === 0 ? null : { subject: subjectOf(username), policies }
}

/** There what is said of one name is all that counts for it; here the default would add to it. */
function deniedBeside({ resource, actions, decision }: AccessEntry, ofAll: AccessEntry | null): AccessEntry[] {
  if (decision === 'Deny' || ofAll?.decision !== 'Allow') return []
  const added = ofAll.actions.filter((action) => !actions.includes(action))
  return added.length === 0 ? [] : [{ resource, actions: added, sourceIps: [], decision: 'Deny' }]
}

function entryOf(resource: string, permission: string, where: string, warnings: string[]): AccessEntry {
  const allowed = (actions: readonly string[]): AccessEntry => ({ resource, actions, sourceIps: [], decision: 'Allow' })
  switch (permission) {
    case 'PUB':
      return allowed(['Pub'])
    case 'SUB':
      return allowed(['Sub'])
    case 'PUB|SUB':
    case 'SUB|PUB':
      return allowed(['Pub', 'Sub'])
    default:
      if (permission !== 'DENY') warnings.push(`${where}: ${permission} on ${resource} is no permission, and denies`)
      return { resource, actions: ['All'], sourceIps: [], decision: 'Deny' }
  }
}

/** All scalars as the texts that they are: an access key may look like a number. */
function contentOf(text: string): Fields {
  const { parseDocument } = requireModule('yaml') as typeof import('yaml')
  const document = parseDocument(text, { schema: 'failsafe', prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const line = text.slice(0, error.pos[0]).split('\n').length
    // Its message may quote the text.
    throw new PlainAclFault(`line ${line} is no YAML (${error.code})`)
  }
  let content: unknown
  try {
    content = document.toJS({ maxAliasCount: ALIASES_MAX })
  } catch {
    throw new PlainAclFault('its aliases cannot be resolved')
  }
  if (content === null || content === undefined || content === '') return {}
  if (!isFields(content)) throw new PlainAclFault('the file is no map')
  return content
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function listIn(fields: Fields, key: string, where: string): readonly unknown[] {
  const value = fields[key]
  if (value === undefined || value === null || value === '') return []
  if (Array.isArray(value)) return value
  throw new PlainAclFault(`${key} of ${where} is no list`)
}

function textsIn(fields: Fields, key: string, where: string): readonly string[] {
  return listIn(fields, key, where).map((value) => {
    if (typeof value === 'string') return value
    throw new PlainAclFault(`${key} of ${where} has something else than texts`)
  })
}

function textIn(fields: Fields, key: string, where: string): string {
  const value = fields[key] ?? ''
  if (typeof value === 'string') return value.trim()
  throw new PlainAclFault(`${key} of ${where} is no text`)
}
