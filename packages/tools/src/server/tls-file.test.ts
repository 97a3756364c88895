/** Which keys of TLS count: those of its own file, where there is one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { withTlsFile } from './tls-file.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tls-file-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const given = (values: Record<string, string>) => ({ values, warnings: ['w'] })

test('where the file of Apache is there, it counts', () => {
  const path = join(folder, 'tls.properties')
  const conf = given({ listenPort: '1', 'tls.server.mode': 'disabled' })
  expect(withTlsFile(conf, path)).toEqual(conf)
  writeFileSync(path, 'tls.server.mode=enforcing\ntls.server.mode=permissive\n')
  const { values, warnings } = withTlsFile(conf, path)
  expect(values).toEqual({ listenPort: '1', 'tls.server.mode': 'permissive' })
  expect(warnings).toEqual(['w', expect.stringMatching(/tls\.server\.mode is given twice/)])
})

test('a file that is named has to be there', () => {
  const path = join(folder, 'mine.properties')
  const conf = given({ 'tls.config.file': path })
  expect(() => withTlsFile(conf)).toThrow(`tls.config.file=${path}: the configuration file ${path} cannot be read`)
  writeFileSync(path, 'tls.enable=true\n')
  expect(withTlsFile(conf).values).toEqual({ 'tls.config.file': path, 'tls.enable': 'true' })
})

test('an empty name is none', () => {
  expect(withTlsFile(given({ 'tls.config.file': '' }), folder).values).toEqual({ 'tls.config.file': '' })
  expect(withTlsFile(null, join(folder, 'absent'))).toEqual({ values: {}, warnings: [] })
})
