"""Clinical sentences in German, Spanish and French."""

from __future__ import annotations

GERMAN = (
    "Der Patient nimmt seit drei Wochen Metformin gegen seinen Diabetes.",
    "Bitte verordnen Sie Aspirin, hundert Milligramm, einmal täglich nach dem Essen.",
    "Die Blinddarmoperation verlief ohne Zwischenfälle, die Wunde ist trocken.",
    "Wir haben die Angehörigen über die geplante Verlegung auf die Station informiert.",
)
SPANISH = (
    "El paciente toma metformina desde hace tres semanas para la diabetes.",
    "Por favor, recete aspirina, cien miligramos, una vez al día después de comer.",
    "La apendicectomía transcurrió sin complicaciones y la herida está seca.",
    "Hemos informado a la familia sobre el traslado previsto a la planta.",
)
FRENCH = (
    "Le patient prend de la metformine depuis trois semaines pour son diabète.",
    "Veuillez prescrire de l'aspirine, cent milligrammes, une fois par jour après le repas.",
    "L'appendicectomie s'est déroulée sans complications et la plaie est sèche.",
    "Nous avons informé la famille du transfert prévu dans le service de médecine.",
)
