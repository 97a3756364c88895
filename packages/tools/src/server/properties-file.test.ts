import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { changePropertiesFile, parseProperties, readPropertiesFile } from './properties-file.ts'

test('keys, values, comments and escapes as Java reads them', () => {
  const { values, warnings } = parseProperties('# c\na=b\n ! d\nc : d e\npath=C\\:\\\\x\nempty=\n', 'f')
  expect(values).toEqual({ a: 'b', c: 'd e', path: 'C:\\x', empty: '' })
  expect(warnings).toEqual([])
})

test('a key given twice and a # inside a value are warnings', () => {
  const { values, warnings } = parseProperties('a=1\na=2 # two\n', 'f')
  expect(values).toEqual({ a: '2 # two' })
  expect(warnings).toHaveLength(2)
  expect(warnings[0]).toMatch(/^f: a is given twice/)
})

test('passwords are in no warning', () => {
  const line = 'initAuthenticationUser={"password":"the #1 secret #"}\n'
  const { warnings } = parseProperties(line + line, 'broker.conf')
  expect(warnings).toHaveLength(3)
  expect(warnings.join()).not.toContain('secret')
})

test('keys are changed where they stand, others and comments stay, and new ones come last', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'properties-file-'))
  const path = join(directory, 'broker.conf')
  try {
    writeFileSync(path, '# of this host\nbrokerName = b\ndeleteWhen=04;16\n\nmaxMessageSize=1\nmaxMessageSize=2', {
      mode: 0o640,
    })
    await changePropertiesFile(
      path,
      new Map([
        ['maxMessageSize', '3'],
        ['regionId', 'a b\\c'],
      ]),
    )
    const { values } = readPropertiesFile(path)
    expect(values).toEqual({ brokerName: 'b', deleteWhen: '04;16', maxMessageSize: '3', regionId: 'a b\\c' })
    expect(readFileSync(path, 'utf8')).toMatch(/^# of this host\nbrokerName=b\n/)
    expect(statSync(path).mode & 0o777).toBe(0o640)
    expect(readdirSync(directory)).toEqual(['broker.conf'])
    await expect(changePropertiesFile(join(directory, 'none'), new Map())).rejects.toMatchObject({ code: 'ENOENT' })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
