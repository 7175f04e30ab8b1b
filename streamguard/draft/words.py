"""What fields are called: words for personal data, for people, and for things, in English and a few other languages.

All are written as `names.tokens` gives them, joined: lower case, no accents, no separators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from streamguard.draft import kinds
from streamguard.draft.kinds import Confidence, Kind

Meaning = tuple[Kind, Confidence]

_WORDS: Final[Mapping[Meaning, str]] = {
    (kinds.EMAIL, Confidence.LIKELY): """
        email emailaddress emailaddr mail mailaddress emailadresse mailadresse courriel correo correoelectronico
        adressemail adresseemail indirizzoemail enderecoemail emailadres replyto
        """,
    (kinds.PHONE, Confidence.LIKELY): """
        phone phonenumber phoneno telephone telephonenumber tel telno mobile mobilenumber mobileno cell cellphone
        cellphonenumber msisdn fax faxnumber landline homephone workphone whatsapp telefon telefonnummer
        handy handynummer mobilnummer rufnummer telefono movil celular telefone telemovel cellulare telefoon
        telefoonnummer portable numerotelephone
        """,
    (kinds.NAME, Confidence.LIKELY): """
        firstname lastname fullname givenname familyname surname middlename maidenname forename legalname realname
        displayname personname fname lname nameoncard cardholder cardholdername accountholder passengername
        vorname nachname familienname geburtsname vollername prenom nomdefamille nomcomplet apellido apellidos
        nombrecompleto cognome nomecompleto sobrenome apelido voornaam achternaam naamvolledig
        """,
    (kinds.ADDRESS, Confidence.LIKELY): """
        street streetname streetaddress streetline address addressline addressline1 addressline2 address1 address2
        line1 line2 postaladdress homeaddress housenumber houseno apartment mailingaddress
        strasse hausnummer anschrift adresse rue calle direccion domicilio indirizzo endereco rua straat huisnummer
        adres
        """,
    (kinds.ADDRESS, Confidence.POSSIBLE): "city town village stadt ort ville ciudad citta cidade woonplaats wohnort",
    (kinds.POSTCODE, Confidence.LIKELY): """
        zip zipcode postcode postalcode pincode plz postleitzahl codepostal codigopostal codicepostale cep
        """,
    (kinds.PERSON, Confidence.LIKELY): """
        userid uid customerid clientid patientid personid employeeid memberid studentid subscriberid accountid
        visitorid contactid profileid playerid driverid mrn medicalrecordnumber customernumber customerno custid
        membernumber employeenumber staffid personnelnumber kundennummer kundennr kundenid mitarbeiternummer
        personalnummer patientennummer idcliente clienteid numeroclient usuarioid klantnummer sessionid cookieid
        """,
    (kinds.USERNAME, Confidence.LIKELY): """
        username login loginname nick nickname screenname userhandle benutzername nutzername usuario
        nomutilisateur identifiant nomeutente gebruikersnaam
        """,
    (kinds.USERNAME, Confidence.POSSIBLE): "handle alias",
    (kinds.DEVICE, Confidence.POSSIBLE): "useragent",
    (kinds.DEVICE, Confidence.LIKELY): """
        deviceid imei imsi iccid idfa idfv gaid aaid advertisingid androidid udid mac macaddress macaddr
        deviceserial serialnumber fingerprint devicefingerprint browserfingerprint gerateid
        """,
    (kinds.SSN, Confidence.LIKELY): """
        ssn socialsecurity socialsecuritynumber socialsecurityno sin nino nationalinsurance nationalid
        nationalidnumber nationalidentifier personalidnumber personnummer bsn dni nie pesel aadhaar aadhar insee
        numerosecuritesociale sozialversicherungsnummer svnummer rentenversicherungsnummer codicefiscale curp rut
        ahvnummer burgerservicenummer
        """,
    (kinds.TAX_ID, Confidence.LIKELY): """
        taxid taxnumber taxno tin itin taxpayerid steuerid steuernummer steueridentifikationsnummer cpf nif
        numerofiscal numerofiscale partitaiva vatid vatnumber
        """,
    (kinds.PAPERS, Confidence.LIKELY): """
        passport passportnumber passportno passnummer reisepass pasaporte passeport passaporto paspoort
        driverslicense driverslicence driverlicense driverlicence drivinglicense drivinglicence licensenumber
        licencenumber fuhrerschein permisconduire idcard idcardnumber ausweis ausweisnummer personalausweis
        licenseplate licenceplate numberplate platenumber kennzeichen matricula targa kenteken vin
        """,
    (kinds.BIRTH_DATE, Confidence.LIKELY): """
        birthdate dateofbirth dob birthday birth birthyear yearofbirth born borndate geburtsdatum geburtstag
        datenaissance datedenaissance naissance fechanacimiento fechadenacimiento nacimiento datadinascita nascita
        datanascita datanascimento datadenascimento nascimento geboortedatum
        """,
    (kinds.AGE, Confidence.LIKELY): "age edad idade leeftijd",
    (kinds.CARD, Confidence.LIKELY): """
        cardnumber cardno creditcard creditcardnumber debitcard debitcardnumber paymentcard ccnumber ccnum pan
        kartennummer kreditkarte kreditkartennummer cartebancaire numerocarte tarjeta numerotarjeta cartadicredito
        numerocartao creditcardno
        """,
    (kinds.CARD, Confidence.POSSIBLE): "card cc karte",
    (kinds.IBAN, Confidence.LIKELY): "iban ibannumber",
    (kinds.ACCOUNT, Confidence.LIKELY): """
        accountnumber accountno acctno acctnumber bankaccount bankaccountnumber routingnumber sortcode kontonummer
        kontonr bankverbindung numerocompte numerocuenta cuentabancaria numeroconto rekeningnummer
        """,
    (kinds.ACCOUNT, Confidence.POSSIBLE): "account konto compte cuenta",
    (kinds.IP, Confidence.LIKELY): """
        ip ipaddress ipaddr ipv4 ipv6 clientip remoteip remoteaddr remoteaddress sourceip srcip userip ipadresse
        xforwardedfor adresseip direccionip
        """,
    (kinds.GEO, Confidence.LIKELY): """
        lat latitude lon lng longitude coordinates coordinate coords latlng latlon gps gpsposition geopoint
        geolocation geohash breitengrad langengrad koordinaten latitud longitud latitudine longitudine
        """,
    (kinds.GEO, Confidence.POSSIBLE): "location position geo long standort",
    (kinds.GENDER, Confidence.LIKELY): "gender sex geschlecht sexe sexo genero sesso geslacht",
    (kinds.SPECIAL, Confidence.LIKELY): """
        diagnosis diagnoses diagnose icd icd9 icd10 medication medications allergy allergies bloodtype bloodgroup
        disease disability symptom symptoms healthstatus healthcondition medicalcondition medicalhistory pregnant
        pregnancy smoker religion ethnicity ethnicgroup race politicalparty politicalopinion sexualorientation
        tradeunion unionmember genome genotype krankheit religionszugehorigkeit konfession behinderung diagnostic
        enfermedad maladie malattia doenca religione
        """,
    (kinds.SPECIAL, Confidence.POSSIBLE): "health nationality citizenship maritalstatus gesundheit staatsangehorigkeit",
    (kinds.INCOME, Confidence.LIKELY): "salary income wage wages creditscore gehalt einkommen lohn salaire salario",
    (kinds.SECRET, Confidence.CERTAIN): """
        password passwd pwd passphrase passwort kennwort motdepasse contrasena senha parola wachtwoord apikey
        accesskey secretkey privatekey clientsecret accesstoken refreshtoken authtoken bearertoken idtoken
        sessiontoken csrftoken authorization passwordhash cvv cvc cvv2 cvc2 securitycode otp onetimepassword
        """,
    (kinds.SECRET, Confidence.LIKELY): "secret secrets token jwt credential credentials bearer pin cookie signature",
    (kinds.FREE_TEXT, Confidence.LIKELY): """
        note notes comment comments remark remarks message messages feedback freetext bio biography transcript
        memo giftnote giftmessage chat utterance prompt reviewtext complaint instructions deliveryinstructions
        bemerkung bemerkungen kommentar kommentare nachricht notiz notizen hinweis commentaire commentaires remarque
        comentario comentarios mensaje observaciones nota messaggio commento observacoes mensagem opmerking
        opmerkingen bericht
        """,
    (kinds.FREE_TEXT, Confidence.POSSIBLE): """
        description desc text body content subject reason summary review about beschreibung descripcion
        descrizione descricao omschrijving betreff
        """,
}  # fmt: skip


def _spelled() -> Iterator[tuple[str, Meaning]]:
    for meaning, words in _WORDS.items():
        for word in words.split():
            yield word, meaning


MEANINGS: Final[Mapping[str, Meaning]] = dict(_spelled())
"""Each word, and what a field of that name holds."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAMES: Final = _words("name names nom nombre nome naam")
"""Words that are a person's name below a person, and a thing's below a thing."""

IDS: Final = _words("id ids identifier guid uuid key number no nr num ref reference nummer numero code")
"""Words that identify what they belong to."""

ALONE: Final = _words("id identifier guid uuid uid key ref reference")
"""Those that may be a person's where nothing says whose they are."""

CONTENTS: Final = _words("value raw text full formatted line e164 plain")
"""Words for what an object holds, that leave it to the object's name what that is: ``phone.value``."""

PERSONS: Final = _words("""
    person people customer client user users patient employee contact recipient sender member owner holder passenger
    guest student teacher applicant candidate subscriber buyer seller author child parent spouse insured beneficiary
    debtor creditor payer payee shipping billing delivery physician doctor nurse driver visitor consumer shopper
    tenant resident staff caller participant player signer signatory nominee guardian profile account
    kunde kunden benutzer nutzer mitarbeiter besteller empfanger absender versicherter patientin cliente clientes
    usuario usuarios utilisateur personne persona klant gebruiker paciente utente empleado dipendente funcionario
    salarie client destinataire beneficiaire medewerker
    """)
"""Who a field may belong to."""

THINGS: Final = _words("""
    product item items article sku order event category company organization organisation business store shop
    campaign plan brand model currency service app application package group team project table column host server
    topic channel browser os platform city country region state department page tag label field schema class method
    function status game song album track playlist hotel restaurant merchant bank vendor supplier warehouse carrier
    file folder bucket queue job task workflow pipeline step stage rule metric sensor machine device version release
    build branch repository currency language locale timezone unit message batch request response trace span
    transaction payment invoice shipment booking ticket coupon voucher promotion discount tax fee refund cart
    correlation location place site area zone partition offset source target experiment variant segment query action
    type payload record stock
    produkt artikel bestellung firma kategorie land producto pedido empresa produit commande entreprise prodotto
    ordine azienda produto bestelling bedrijf
    """)
"""What a field may belong to instead."""

ABOUT: Final = _words("""
    at on type kind count counts total verified valid validated status state enabled disabled flag format provider
    length size sent opened clicked bounced optin optout consent consented confirmed required present missing exists
    domain language lang locale source version hash index position rank score time timestamp date day month year
    brand scheme network issuer expiry expires expiration ttl prefix category level class label percent ratio rate
    amount currency fee limit balance
    """)
"""Last words of names that say something about personal data and hold none: ``email_verified``, ``card_type``."""
